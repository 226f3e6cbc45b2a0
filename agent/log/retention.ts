// placeholder
export interface RetentionLimits {
  retentionMs?: number | undefined
  retentionBytes?: number | undefined
  healWindowMs: number
  replicatedOffset: number | undefined
  now?: number
}
export function segmentsToRemove(_f: readonly unknown[], _l: RetentionLimits): number {
  return 0
}
