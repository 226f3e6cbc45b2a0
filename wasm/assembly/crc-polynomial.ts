// The numbers of CRC-32C, read by both compilers and proved by `wasm/tools/crc-constants.ts`.
//
// Q is a multiple of the polynomial with few terms: x^104 + x^57 + x^53 + x^49 + x^19 + x^14 + x^4 + 1.
// A gap is the distance from the leading term down to another one.

/** P = x^32 + x^28 + … + 1 without its leading term, reflected: bit 31 is x^0. */
export const POLYNOMIAL = 0x82f63b78
/** x^8 in the same form. */
export const X8 = 0x800000

export const DEGREE = 104
export const GAP_1 = 47
export const GAP_2 = 51
export const GAP_3 = 55
export const GAP_4 = 85
export const GAP_5 = 90
export const GAP_6 = 100
