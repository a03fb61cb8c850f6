export type RunOptions = {
  readonly timeoutMs?: number;
  readonly stdin?: string | Uint8Array;
  readonly signal?: AbortSignal;
};
export type RunResult = { readonly status: number; readonly stdout: string; readonly stderr: string };

/** Counters of the root disk since QEMU started. */
export type BlockStats = {
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly writes: number;
  readonly flushes: number;
};
