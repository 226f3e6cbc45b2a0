// placeholder
import type { FileSystem } from './file-system.ts'
export interface LockHandle {
  release(): Promise<void>
}
export async function lockStore(_fs: FileSystem, _directory: string): Promise<LockHandle> {
  return { release: async () => {} }
}
