/**
 * The kernel's fs-verity: a file that was sealed can never be written again, and each block of it
 * is compared with a tree of hashes when it is read from the medium, so that a byte that was
 * changed there is an I/O error and not data.
 */
export interface Verity {
  /**
   * Why files below `directory` cannot be sealed, in words for a report; undefined when they can.
   * Writes nothing.
   */
  lack(directory: string): Promise<string | undefined>;
  /**
   * Seals a file that nobody has open for writing, for good. It takes a reading of the whole file.
   * To be made durable by `Disk.syncFile` of the file, like its content. A file that is sealed
   * already stays as it is.
   *
   * @throws Error when it cannot be sealed, for whatever reason
   */
  seal(path: string): Promise<void>;
  /** What the kernel knows of a file; it takes the same short time for every size. */
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
  /** Nobody could ask the kernel. */
  | { readonly kind: 'unknown'; readonly why: string };

/** What a digest looks like, in a state and in what the program says. */
export const verityDigestForm = /^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$/;
