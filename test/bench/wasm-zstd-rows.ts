// Rows about zstd, beside libzstd at level 1 whose context is used again.

import type { Kernel } from '../../wasm/kernel.ts'
import type { DataSet } from './wasm-data.ts'
import { contest, type Row } from './wasm-measure.ts'
import type { Peers } from './wasm-peers.ts'
import { BACK, PACKED, ratio, SOURCE, sizeName, THIRD } from './wasm-rows.ts'

type ZstdKernel = Record<
  'zstdFrame' | 'zstdUnframe',
  (src: number, length: number, dst: number, capacity: number) => number
>

/** Ratio and both speeds of one data set at one size; none when the kernel has no zstd. */
export function zstdRows(
  kernel: Kernel & Partial<ZstdKernel>,
  { zstd }: Peers,
  data: DataSet,
  length: number,
): Row[] {
  if (zstd === undefined || !hasZstd(kernel)) return []
  const name = `${data.name} ${sizeName(length)}`
  const bytes = Buffer.from(data.bytes(length))
  const compressor = new zstd.Compressor()
  compressor.setParameters({ compressionLevel: 1 })
  const decompressor = new zstd.Decompressor()
  const load = () => kernel.u8.set(bytes, SOURCE)
  load()
  const size = kernel.zstdFrame(SOURCE, length, PACKED, THIRD)
  const ours = () => kernel.zstdFrame(SOURCE, length, PACKED, THIRD)
  const theirs = compressor.compress(bytes)
  const frame = Buffer.from(kernel.u8.subarray(PACKED, PACKED + size))
  const compress = contest(ours, () => compressor.compress(bytes))
  const decompress = contest(
    () => kernel.zstdUnframe(PACKED, size, BACK, THIRD),
    () => decompressor.decompress(frame),
  )
  return [
    ratio(
      `zstd ratio of ${name} / level 1`,
      { floor: 0.9, goal: 0.98 },
      () => theirs.length / size,
    ),
    ratio(`zstd frame of ${name} / zstd-napi`, { floor: 0.5, goal: 0.8 }, compress, load),
    ratio(`zstd decompress ${name} / zstd-napi`, {}, decompress, () =>
      kernel.u8.set(frame, PACKED),
    ),
  ]
}

function hasZstd(kernel: Partial<ZstdKernel>): kernel is ZstdKernel {
  return kernel.zstdFrame !== undefined && kernel.zstdUnframe !== undefined
}
