// The numbers of CRC-32C, read by both compilers and proved by `wasm/tools/crc-constants.ts`.
//
// Two multiples of the polynomial with few terms serve for folding. A gap is the distance from the
// leading term down to another one; the last term is x^0, so DEGREE is the last gap.

/** P = x^32 + x^28 + … + 1 without its leading term, reflected: bit 31 is x^0. */
export const POLYNOMIAL = 0x82f63b78
/** x^8 in the same form. */
export const X8 = 0x800000

/** x^104 + x^57 + x^53 + x^49 + x^19 + x^14 + x^4 + 1: eight terms, a short remainder. */
export const SHORT_DEGREE = 104
export const SHORT_GAP_1 = 47
export const SHORT_GAP_2 = 51
export const SHORT_GAP_3 = 55
export const SHORT_GAP_4 = 85
export const SHORT_GAP_5 = 90
export const SHORT_GAP_6 = 100

/** x^209 + x^144 + x^54 + x^39 + x^14 + 1: six terms, less work for a byte. */
export const LONG_DEGREE = 209
export const LONG_GAP_1 = 65
export const LONG_GAP_2 = 155
export const LONG_GAP_3 = 170
export const LONG_GAP_4 = 195
