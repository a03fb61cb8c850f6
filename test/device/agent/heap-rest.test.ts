import { describe, expect, it } from 'vitest';
import { HeapRest } from '../../../src/device/agent/heap-rest.ts';

/** A heap whose garbage takes four collections to go. */
class FakeHeap {
  needed = 8 << 20;
  garbage = 0;
  collections = 0;

  collect(): void {
    this.collections += 1;
    if (this.collections % 4 === 0) this.garbage = 0;
  }

  usedBytes(): number {
    return this.needed + this.garbage;
  }
}

describe('the heap at rest', () => {
  it('is shrunk when messages have grown it by half a megabyte since', () => {
    const heap = new FakeHeap();
    const rest = new HeapRest(heap);
    rest.shrink();
    heap.garbage = 600 * 1024;
    rest.look();
    expect(heap).toMatchObject({ collections: 8, garbage: 0 });
  });

  it('is left alone while it has grown by less', () => {
    const heap = new FakeHeap();
    const rest = new HeapRest(heap);
    rest.shrink();
    heap.garbage = 500 * 1024;
    rest.look();
    expect(heap.collections).toBe(4);
  });

  it('grows with what is needed, and is not shrunk for it again and again', () => {
    const heap = new FakeHeap();
    const rest = new HeapRest(heap);
    rest.shrink();
    heap.needed += 1 << 20;
    for (let look = 0; look < 3; look++) rest.look();
    expect(heap.collections).toBe(8);
  });

  it('is left alone before the start has come to rest', () => {
    const heap = new FakeHeap();
    heap.garbage = 5 << 20;
    new HeapRest(heap).look();
    expect(heap.collections).toBe(0);
  });
});
