/** What a program can do about the memory of its own objects. */
export interface Heap {
  /** Collects once. */
  collect(): void;
  /** Bytes of objects, those that nobody needs any more among them. */
  usedBytes(): number;
}

/**
 * The unit lets V8 drop the bytecode of a function that one collection has found unused. The next
 * ones free what only that bytecode needed.
 */
const collections = 4;
const grownBytes = 512 * 1024;

/**
 * Gives memory back when there is nothing to do. The start, each deployment and many messages grow
 * the heap by a few megabytes, which V8 would keep.
 */
export class HeapRest {
  readonly #heap: Heap;
  #restingBytes = Number.POSITIVE_INFINITY;

  constructor(heap: Heap) {
    this.#heap = heap;
  }

  shrink(): void {
    for (let done = 0; done < collections; done++) this.#heap.collect();
    this.#restingBytes = this.#heap.usedBytes();
  }

  /** Shrinks the heap if it has grown since it was shrunk: for what no deployment follows. */
  look(): void {
    if (this.#heap.usedBytes() - this.#restingBytes >= grownBytes) this.shrink();
  }
}
