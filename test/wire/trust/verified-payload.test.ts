import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const src = resolve(import.meta.dirname, '../../../src');

describe('the payload of a command [C26]', () => {
  it('is declared verified in eleven places besides the verification itself', () => {
    const callers = readdirSync(src, { recursive: true, encoding: 'utf8' })
      .filter(
        (file) => file.endsWith('.ts') && /\balreadyVerified\(/.test(readFileSync(join(src, file), 'utf8')),
      )
      .map((file) => file.split('/').at(-1))
      .sort();
    expect(callers).toEqual([
      'compare-with-broker.ts',
      'countersign-rollout.ts',
      'countersign.ts',
      'examine-root.ts',
      'examine-unit.ts',
      'prepare.ts',
      'publish.ts',
      'root-drafts.ts',
      'secrets.ts',
      'state-codec.ts',
      'verified-payload.ts',
      'wherry-examine.ts',
    ]);
  });
});
