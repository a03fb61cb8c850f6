import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type Bucket,
  BandwidthCap,
  cappedPieceBytes,
  takeFrom,
} from '../../../src/wire/http/bandwidth-cap.ts';
import { defaultPatience, Download } from '../../../src/wire/http/download.ts';
import { fetchSmall } from '../../../src/wire/http/fetch-small.ts';
import { openHttpClient } from '../../../src/wire/http/http-client.ts';
import { serve, staticFile, steadyRandom, TestClock, testWindowMs } from '../../support/test-server.ts';

const content = Buffer.alloc(1_000_000, 'content');

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** A clock that `sleep` advances by the delay. */
class PassingClock extends TestClock {
  sleptMs = 0;

  override async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    await super.sleep(delayMs, signal);
    this.sleptMs += delayMs;
    this.advance(delayMs);
  }
}

describe('a token bucket', () => {
  it('never exceeds its rate when callers wait as long as it returns', () => {
    const step = fc.record({
      bytes: fc.integer({ min: 1, max: 5000 }),
      pauseMs: fc.integer({ min: 0, max: 3000 }),
    });
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 10_000 }), fc.array(step, { maxLength: 50 }), (rate, steps) => {
        let bucket: Bucket = { bytes: 0, atMs: 0 };
        let nowMs = 0;
        let passed = 0;
        for (const { bytes, pauseMs } of steps) {
          const taken = takeFrom(bucket, bytes, nowMs, rate);
          bucket = taken.bucket;
          passed += bytes;
          nowMs += taken.waitMs;
          expect(passed).toBeLessThanOrEqual((nowMs * rate) / 1000 + 1e-6);
          nowMs += pauseMs;
        }
      }),
    );
  });

  it('keeps unused tokens for at most a second', () => {
    const { waitMs } = takeFrom({ bytes: 0, atMs: 0 }, 3000, 60_000, 1000);
    expect(waitMs).toBe(2000);
  });

  it.each([
    [0, 262_144],
    [1 << 30, 262_144],
    [100_000, 25_000],
    [1000, 1024],
  ])('under a cap of %i bytes a second %i are read at a time', (rate, pieceBytes) => {
    expect(cappedPieceBytes(rate)).toBe(pieceBytes);
  });
});

describe('a download under a cap', () => {
  async function capped(bytesPerSecond: number) {
    const clock = new PassingClock();
    const http = openHttpClient({ clock, pieceBytes: cappedPieceBytes(bytesPerSecond) });
    cleanUps.push(() => http.close());
    const server = await serve(staticFile(content));
    cleanUps.push(() => server.close());
    const cap = new BandwidthCap(bytesPerSecond, clock);
    const patience = { ...defaultPatience, windowMs: testWindowMs };
    return { url: server.url, clock, ports: { clock, http, random: steadyRandom, patience, cap } };
  }

  async function collect(download: Download, seen: () => void = () => undefined): Promise<number> {
    let received = 0;
    for await (const chunk of download) {
      received += chunk.length;
      seen();
    }
    return received;
  }

  const request = (url: string) => ({ urls: [url], startAt: 0, expectedBytes: content.length });

  it('[C74] takes as long as the cap requires, with few and short waits', async () => {
    const { url, clock, ports } = await capped(100_000);
    const download = new Download(ports, { ...request(url), minBytesPerSecond: 1 });
    expect(await collect(download)).toBe(content.length);
    expect(clock.sleptMs).toBeGreaterThanOrEqual(10_000);
    expect(clock.sleptMs).toBeLessThan(10_100);
    expect(clock.delays).toHaveLength(40);
  });

  it('applies to all files of a pull, small ones included', async () => {
    const { url, clock, ports } = await capped(100_000);
    expect((await fetchSmall(ports, [url], content.length))?.length).toBe(content.length);
    expect(clock.sleptMs).toBe(0);
    await collect(new Download(ports, { ...request(url), minBytesPerSecond: 1 }));
    expect(clock.sleptMs).toBeGreaterThanOrEqual(20_000);
  });

  it('[C74] is not refused as too slow while the cap makes it wait', async () => {
    const { url, clock, ports } = await capped(500);
    const download = new Download(ports, { ...request(url), minBytesPerSecond: 5000 });
    expect(await collect(download)).toBe(content.length);
    expect(clock.sleptMs).toBeGreaterThan(testWindowMs); // the window in which a rate is judged
  });

  it('slows the sender down: unread bytes stay in the network', async () => {
    const { url, ports } = await capped(1000);
    let mostAhead = 0;
    let read = 0;
    const download = new Download(ports, { ...request(url), minBytesPerSecond: 0 });
    await collect(download, () => {
      read += 1024;
      mostAhead = Math.max(mostAhead, download.receivedBytes - read);
    });
    expect(mostAhead).toBeLessThan(100_000);
  });
});
