import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { BodyPieces } from '../../../src/wire/http/body-pieces.ts';

const crumbs = Array.from({ length: 100 }, (_, index) => Buffer.alloc(10, index));

async function piecesOf(
  source: Iterable<Buffer> | AsyncIterable<Buffer>,
): Promise<{ sizes: number[]; error?: Error }> {
  const body = Readable.from(source, { objectMode: false, highWaterMark: 512 });
  const pieces = new BodyPieces(body, 256);
  const sizes: number[] = [];
  try {
    for (let piece = await pieces.next(); piece; piece = await pieces.next()) sizes.push(piece.length);
    return { sizes };
  } catch (error) {
    return { sizes, error: error as Error };
  }
}

describe('a body read in pieces', () => {
  it('comes in large pieces, however small those of the network are', async () => {
    expect(await piecesOf(crumbs)).toEqual({ sizes: [256, 256, 256, 232] });
  });

  it('returns the bytes that arrived before the connection broke, then the error', async () => {
    const { sizes, error } = await piecesOf(
      (async function* () {
        yield* crumbs.slice(0, 30);
        await Promise.resolve();
        throw new Error('broken');
      })(),
    );
    expect(error?.message).toBe('broken');
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(300);
  });
});
