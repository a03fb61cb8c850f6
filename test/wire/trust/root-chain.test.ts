import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { isRefusal } from '../../../src/core/refusal/index.ts';
import { encodeEnvelope, encodeRoot, type RootDocument } from '../../../src/wire/trust/index.ts';
import { examineRoot } from '../../../src/wire/trust/openpgp.ts';
import { signDetached, type GeneratedKey } from '../../../src/wire/trust/sign.ts';
import { day, issued, makeKey } from '../../support/operator.ts';
import { role, rootOf } from '../../support/roots.ts';

let keys: readonly GeneratedKey[];
beforeAll(async () => {
  keys = await Promise.all(['a', 'b', 'c', 'd'].map(makeKey));
});

/**
 * A published root: its owners with their threshold, and its signers, some of them twice.
 */
const published = fc.record({
  version: fc.integer({ min: 1, max: 5 }),
  owners: fc.uniqueArray(fc.nat(3), { minLength: 1, maxLength: 4 }),
  threshold: fc.nat(3),
  signers: fc.array(fc.nat(3), { minLength: 1, maxLength: 6 }),
  fleet: fc.constantFrom('farm', 'farm', 'farm', 'barn'),
});

it('[C80] [C81] no sequence of roots lowers or skips a version, or passes below a threshold', async () => {
  const signed = new Map<string, string>();
  const sign = async (payload: Uint8Array, signer: number): Promise<string> => {
    const name = `${signer} ${Buffer.from(payload).toString('latin1')}`;
    const known = signed.get(name) ?? (await signDetached(payload, keys[signer]?.privateKey ?? '', issued));
    signed.set(name, known);
    return known;
  };
  const made = (owners: readonly number[], threshold: number, change: object): RootDocument => {
    const chosen = owners.flatMap((index) => keys[index] ?? []);
    const roles = {
      root: role(Math.min(threshold + 1, chosen.length), ...chosen),
      deploy: role(1, ...chosen),
    };
    return rootOf(roles, keys, change);
  };
  const enough = (root: RootDocument, signers: readonly number[]): boolean => {
    const { keys: names = [], threshold = 9 } = root.roles['root'] ?? {};
    const distinct = new Set(signers.map((index) => keys[index]?.fingerprint ?? ''));
    return names.filter((name) => distinct.has(name)).length >= threshold;
  };
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.nat(3), { minLength: 1, maxLength: 4 }),
      fc.array(published, { minLength: 1, maxLength: 12 }),
      async (owners, messages) => {
        let trusted = made(owners, 1, {});
        for (const { version, owners: next, threshold, signers, fleet } of messages) {
          const root = made(next, threshold, { version, fleet });
          const payload = encodeRoot(root);
          const signatures = await Promise.all(signers.map((signer) => sign(payload, signer)));
          const message = encodeEnvelope({ payload, signatures });
          const time = { nowSeconds: issued + day, clockTrusted: true };
          const outcome = await examineRoot(message, { trusted, fleet: 'farm', time }).catch(
            (error: unknown) => {
              if (!isRefusal(error)) throw error;
              return undefined;
            },
          );
          const mayFollow =
            fleet === 'farm' &&
            version === trusted.version + 1 &&
            enough(trusted, signers) &&
            enough(root, signers);
          expect(outcome?.outcome === 'new').toBe(mayFollow);
          if (outcome?.outcome !== 'new') continue;
          accepted += 1;
          trusted = outcome.root;
        }
      },
    ),
    { numRuns: 40 },
  );
  expect(accepted).toBeGreaterThan(0);
});
