export async function benchDrain(options: { messages: number }): Promise<number> {
  console.log(options)
  return 0
}
