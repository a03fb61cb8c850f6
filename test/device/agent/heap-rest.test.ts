import { describe, expect, it } from 'vitest';
import { HeapRest } from '../../../src/device/agent/heap-rest.ts';

/** A heap that needs four collections to free its garbage. */
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
  it('is shrunk after messages have grown it by half a megabyte', () => {
    const heap = new FakeHeap();
    const rest = new HeapRest(heap);
    rest.shrink();
    heap.garbage = 600 * 1024;
    rest.look();
    expect(heap).toMatchObject({ collections: 8, garbage: 0 });
  });

  it('is left alone after smaller growth', () => {
    const heap = new FakeHeap();
    const rest = new HeapRest(heap);
    rest.shrink();
    heap.garbage = 500 * 1024;
    rest.look();
    expect(heap.collections).toBe(4);
  });

  it('grows with live objects, and is not shrunk repeatedly for them', () => {
    const heap = new FakeHeap();
    const rest = new HeapRest(heap);
    rest.shrink();
    heap.needed += 1 << 20;
    for (let look = 0; look < 3; look++) rest.look();
    expect(heap.collections).toBe(8);
  });

  it('is left alone until the start has settled', () => {
    const heap = new FakeHeap();
    heap.garbage = 5 << 20;
    new HeapRest(heap).look();
    expect(heap.collections).toBe(0);
  });
});
