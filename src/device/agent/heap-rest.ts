/** What a program can do about the memory of its own objects. */
export interface Heap {
  /** Collects once. */
  collect(): void;
  /** Bytes of all objects, unreachable ones included. */
  usedBytes(): number;
}

/**
 * The unit lets V8 drop the bytecode of a function that one collection has found unused. The next
 * collections free what only that bytecode referred to.
 */
const collections = 4;
const grownBytes = 512 * 1024;

/**
 * Returns memory when wherryd is idle. The start, each deployment and many messages grow the heap
 * by a few megabytes, which V8 would keep.
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

  /**
   * Shrinks the heap if it has grown by `grownBytes` since the last time: for growth that no
   * deployment follows.
   */
  look(): void {
    if (this.#heap.usedBytes() - this.#restingBytes >= grownBytes) this.shrink();
  }
}
