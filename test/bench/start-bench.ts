export async function benchStart(options: { seconds: number; rounds: number }): Promise<number> {
  console.log(options)
  return 0
}
