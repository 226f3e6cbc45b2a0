import { AgentError } from '../../../agent/base/errors.ts'

/** The fault that a call must end in; anything else is thrown on. */
export async function faultOf(work: Promise<unknown>): Promise<AgentError> {
  try {
    await work
  } catch (error) {
    if (error instanceof AgentError) return error
    throw error
  }
  throw new Error('no fault')
}
