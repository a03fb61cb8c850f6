import { describe, expect, it } from 'vitest';
import type { Deployment } from '../src/device/deploy/index.ts';
import type { DeploymentEnd, DeploymentEvent, DeploymentReport } from '../src/wire/report/index.ts';
import type { PullJob } from '../src/device/jobs/pull/index.ts';
import type { StoredImage, StoredTree } from '../src/device/store/index.ts';
import {
  decodeDesiredState,
  decodeEnvelope,
  decodeRoot,
  judgeDesiredState,
  type Judgement,
} from '../src/wire/trust/index.ts';
import { readKeys, signatureVerifier, verifyEnvelope } from '../src/wire/trust/openpgp.ts';

/**
 * Wrong uses that must not compile. No test runs them. The compiler reports an unused
 * `@ts-expect-error`, so `npm run lint` fails when one of them compiles.
 */
export const wrongUses = {
  'a payload is decoded before its signature was verified': (message: Uint8Array) => {
    // @ts-expect-error -- only a VerifiedPayload is decoded
    decodeDesiredState(decodeEnvelope(message).payload);
    // @ts-expect-error -- received bytes are not verified
    decodeDesiredState(message);
    // @ts-expect-error -- neither is a root of trust
    decodeRoot(decodeEnvelope(message).payload);
  },
  'a signature is judged without the state of the clock': (bytes: Uint8Array) => {
    // @ts-expect-error -- the time is missing
    void verifyEnvelope(bytes, [], []);
    // @ts-expect-error -- whether the clock is trusted is missing
    void verifyEnvelope(bytes, [], [], { nowSeconds: 1 });
    // @ts-expect-error -- the time is missing
    void signatureVerifier('', []);
    // @ts-expect-error -- whether the clock is trusted is missing
    void readKeys([], { nowSeconds: 1 });
  },
  'a pull drops whether the clock is trusted': (job: PullJob): PullJob => ({
    ...job,
    // @ts-expect-error -- the two travel as one value
    time: { nowSeconds: job.time.nowSeconds },
  }),
  'a command is judged without the state of the clock': (judgement: Judgement) =>
    // @ts-expect-error -- the two travel as one value
    judgeDesiredState({ ...judgement, time: 1_800_000_000 }),
  'a refusal lacks its code': (): unknown[] => {
    // @ts-expect-error -- code and message are missing
    const report: DeploymentReport = { version: 1, phase: 'refused' };
    // @ts-expect-error -- the code is missing
    const end: DeploymentEnd = { version: 1, phase: 'rolled-back', message: 'web died' };
    const answer = { format: 1, bootId: 'b', at: 1, version: 1 } as const;
    // @ts-expect-error -- the code is missing
    const event: DeploymentEvent = { ...answer, outcome: 'superseded', message: 'by 2' };
    return [report, end, event];
  },
  'any text is accepted as the ID of an image or a tree': (
    text: string,
    image: StoredImage,
    tree: StoredTree,
  ) => {
    // @ts-expect-error -- an image ID comes from its parser
    const stored: StoredImage = { ...image, id: text };
    // @ts-expect-error -- a tree is named `rendered-…`
    const rendered: StoredTree = { ...tree, id: image.id };
    // @ts-expect-error -- an image ID comes from its parser
    const deployment: Deployment = { version: 1, pods: [], imageIds: [text] };
    return [stored, rendered, deployment];
  },
  'a deployment that has not ended has a code': (): DeploymentReport => ({
    version: 1,
    phase: 'fetch',
    // @ts-expect-error -- only a refusal has a code
    code: 'no-space',
  }),
};

describe('types that carry proof', () => {
  it('are shown by wrong uses that do not compile', () => {
    expect(Object.keys(wrongUses)).toHaveLength(7);
  });
});
