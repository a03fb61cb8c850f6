/**
 * The kernel's fs-verity. A sealed file can never be written again. The kernel compares each block
 * that it reads from the medium with a tree of hashes, so that a changed byte causes an I/O error.
 */
export interface Verity {
  /**
   * Why files below `directory` cannot be sealed, in words for a report; undefined when they can.
   * Writes nothing.
   */
  lack(directory: string): Promise<string | undefined>;
  /**
   * Seals a file permanently. No process may have it open for writing. It takes the time to read
   * the whole file. `Disk.syncFile` makes the seal durable, like the content. A sealed file is left
   * unchanged.
   *
   * @throws Error when it cannot be sealed
   */
  seal(path: string): Promise<void>;
  /** Queries the kernel for the seal of a file; takes the same short time for every size. */
  measure(path: string): Promise<Measure>;
}

export type Measure =
  /**
   * `digest` is `<algorithm>:<lower-case hex>`: the root of the tree and the length of the file,
   * which the kernel enforces.
   */
  | { readonly kind: 'sealed'; readonly digest: string }
  /** An ordinary file. */
  | { readonly kind: 'open' }
  /** The kernel could not be queried. */
  | { readonly kind: 'unknown'; readonly why: string };

/** The form of a digest, in a state and in the program's output. */
export const verityDigestForm = /^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$/;
