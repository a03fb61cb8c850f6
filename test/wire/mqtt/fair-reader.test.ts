import { describe, expect, it } from 'vitest';
import { FairReader } from '../../../src/wire/mqtt/fair-reader.ts';

describe('reading from a broker that sends as fast as it can', () => {
  it('lets other work run between slices, and keeps the order', async () => {
    const log: string[] = [];
    const source = { pause: () => log.push('pause'), resume: () => log.push('resume') };
    const reader = new FairReader(source, (bytes) => log.push(`${bytes.length} of ${String(bytes[0])}`));
    void reader.read(Buffer.alloc(10_000, 1));
    void reader.read(Buffer.alloc(10, 2));
    setImmediate(() => log.push('other work'));
    await reader.idle;
    expect(log).toEqual([
      ...['pause', '4096 of 1', '4096 of 1', 'other work', '1808 of 1', 'resume'],
      ...['pause', '10 of 2', 'resume'],
    ]);
  });

  it('passes a small packet on at once', () => {
    let passed = 0;
    const source = { pause: () => undefined, resume: () => undefined };
    void new FairReader(source, (bytes) => (passed += bytes.length)).read(Buffer.alloc(4096));
    expect(passed).toBe(4096);
  });

  it('reports bytes that are not MQTT', async () => {
    const source = { pause: () => undefined, resume: () => undefined };
    const reader = new FairReader(source, () => {
      throw new Error('not MQTT');
    });
    await expect(reader.read(Buffer.alloc(1))).rejects.toThrow('not MQTT');
  });
});
