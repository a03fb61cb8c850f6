import { Refusal } from './refusal.ts';

/** No free blocks or inodes, or no quota left for them. */
const full: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT']);

/** Whether the operating system refused something, as opposed to a mistake in the program. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException & { readonly code: string } {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && 'syscall' in error;
}

/**
 * What a failed operation on the disk means: `no-space` when it is full, else `disk-failed` (read-only after an error, EIO, no such
 * directory). The message has the words of the operating system and nothing of the program.
 *
 * @param what what could not be done
 */
export function diskRefusal(error: NodeJS.ErrnoException, what: string): Refusal {
  const [code, advice] = full.has(error.code ?? '')
    ? (['no-space', 'free blocks or inodes are needed'] as const)
    : (['disk-failed', 'check the disk and its mount'] as const);
  return new Refusal(code, `${what}: ${error.message}; ${advice}`, { cause: error });
}
