import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { deviceTrust, trustFiles } from '../../../src/device/agent/trust-files.ts';
import { rootFiles } from '../../../src/device/agent/root-files.ts';
import { RootUpdates } from '../../../src/device/agent/root-updates.ts';
import { openState } from '../../../src/device/agent/state-file.ts';
import { acceptRoot, emptyState } from '../../../src/device/deploy/index.ts';
import { examineFiles } from '../../../src/device/jobs/examine/examine-files.ts';
import { stateSlots } from '../../../src/device/store/index.ts';
import { parseAcIdentifier } from '../../../src/image/appc/index.ts';
import {
  decodeRoot,
  encodeRoot,
  type RootDocument,
  type VerifiedPayload,
} from '../../../src/wire/trust/index.ts';
import { examineRoot } from '../../../src/wire/trust/openpgp.ts';
import type { GeneratedKey } from '../../../src/wire/trust/sign.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { day, issued, makeKey } from '../../support/operator.ts';
import { publishRoot, role, rootOf } from '../../support/roots.ts';
import { CrashingDisk } from '../store/crashing-disk.ts';

let alice: GeneratedKey;
let bob: GeneratedKey;
let attacker: GeneratedKey;
let first: RootDocument;
let messages: Uint8Array[];
beforeAll(async () => {
  [alice, bob, attacker] = (await Promise.all(['alice', 'bob', 'attacker'].map(makeKey))) as [
    GeneratedKey,
    GeneratedKey,
    GeneratedKey,
  ];
  first = rootOf({ root: role(2, alice, bob), deploy: role(1, alice), images: role(1, bob) }, [alice, bob]);
  messages = await Promise.all([1, 2, 3, 4].map((version) => publishRoot({ ...first, version }, alice, bob)));
});

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-root-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const put = (path: string, content: Uint8Array | string): void => {
  mkdirSync(join(directory, path, '..'), { recursive: true });
  writeFileSync(join(directory, path), content);
};
const root = (version: number): Uint8Array => messages[version - 1] ?? new Uint8Array();

/** A device that examines in this process, from the files that its unit would read. */
async function openDevice(disk = new CrashingDisk()) {
  const keeper = await openState(stateSlots(disk, '/state'), { log: () => undefined });
  const clock = new FakeClock();
  const log: string[] = [];
  const places = { local: join(directory, 'local'), system: join(directory, 'system') };
  let examinations = 0;
  const roots = new RootUpdates({
    keeper,
    clock,
    journal: { log: (level, text) => level !== 'debug' && log.push(text) },
    files: () => rootFiles(places),
    examine: async (message, trusted) => {
      examinations += 1;
      const time = { nowSeconds: issued + day, clockTrusted: true };
      const payload = trusted === undefined ? {} : { trusted: encodeRoot(trusted) };
      const rootContext = { fleet: 'farm', time, copies: [], ...payload };
      const request = examineFiles.decodeJob(examineFiles.encodeJob({ message, rootContext }));
      if (!('rootContext' in request)) throw new Error('it is no request about a root');
      const { trusted: read, ...context } = request.rootContext;
      const document = read === undefined ? {} : { trusted: decodeRoot(read as VerifiedPayload) };
      return await examineRoot(request.message, { ...context, ...document });
    },
    onTrusted: ({ document }) => log.push(`await ${document.version + 1}`),
    onRefused: (code) => log.push(code),
  });
  const trust = deviceTrust(trustFiles(places), () => keeper.state.root?.document);
  const signal = new AbortController().signal;
  return {
    roots,
    keeper,
    clock,
    log,
    trust,
    disk,
    examinations: () => examinations,
    version: () => keeper.state.root?.document.version,
    settled: async () => {
      const done = roots.settled(signal);
      const isDone = done.then(
        () => true,
        () => true,
      );
      for (;;) {
        if (await Promise.race([isDone, settle().then(() => false)])) break;
        await clock.pass(1000);
      }
      await done;
    },
  };
}

describe('a device without a root', () => {
  it('[C86] trusts its key directories, and ignores roots from the network', async () => {
    put('local/deploy/fleet.asc', 'FLEET');
    const device = await openDevice();
    device.roots.receive(1, root(1));
    await device.settled();
    expect(device.version()).toBeUndefined();
    expect(device.examinations()).toBe(0);
    expect(device.trust.deploy()).toEqual({ keys: ['FLEET'], threshold: 1 });
  });

  it('[C86] reads its first root from a file, and then ignores the key directories', async () => {
    put('local/deploy/fleet.asc', 'FLEET');
    put('local/images/root.d/fleet.asc', 'IMAGES');
    put('system/root.cbor', root(1));
    const device = await openDevice();
    await device.settled();
    expect(device.version()).toBe(1);
    expect(device.trust.deploy()).toEqual({ keys: [alice.publicKey], threshold: 1 });
    expect(device.trust.image(parseAcIdentifier('example.com/web'))).toEqual({
      keys: [bob.publicKey],
      threshold: 1,
    });
    // Scopes and revocations in the directories still apply.
    expect(device.trust.copies()).toEqual(['FLEET', 'IMAGES']);
    expect(device.log.at(-1)).toBe('await 2');
  });

  it('[C86] with an unusable root obeys no command until it is replaced or removed', async () => {
    put('local/deploy/fleet.asc', 'FLEET');
    put('local/root.cbor', await publishRoot(first, alice));
    const device = await openDevice();
    await expect(device.settled()).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringMatching(/root\.cbor is not used.*threshold-not-met/) as string,
    });
    put('local/root.cbor', 'rubbish');
    await expect(device.settled()).rejects.toMatchObject({ code: 'config-invalid' });
    // The device does not even read it.
    put('local/root.cbor', Buffer.alloc(200_000));
    await expect(device.settled()).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringMatching(/root\.cbor has 200000 bytes/) as string,
    });
    put('local/root.cbor', root(2));
    await device.settled();
    expect(device.version()).toBe(2);
  });
});

describe('a device with a root', () => {
  it('[C81] [C85] follows each root to the next, also after a restart', async () => {
    put('local/root.cbor', root(1));
    const device = await openDevice();
    await device.settled();
    device.roots.receive(2, root(2));
    await device.settled();
    device.roots.receive(3, root(3));
    await device.settled();
    expect(device.version()).toBe(3);
    const again = await openDevice(device.disk);
    await again.settled();
    expect(again.version()).toBe(3);
    expect(again.examinations()).toBe(0);
  });

  it('[C86] keeps its root when the file is removed, and refuses an older one from a file', async () => {
    put('local/root.cbor', root(3));
    const device = await openDevice();
    await device.settled();
    put('local/root.cbor', root(1));
    await device.settled();
    expect(device.version()).toBe(3);
    rmSync(join(directory, 'local'), { recursive: true });
    put('local/deploy/fleet.asc', 'FLEET');
    await device.settled();
    expect(device.version()).toBe(3);
    expect(device.trust.deploy().keys).toEqual([alice.publicKey]);
  });

  it('[C86] reads a later root from a file, and the next ones from the network', async () => {
    put('local/root.cbor', root(1));
    const device = await openDevice();
    await device.settled();
    put('local/root.cbor', root(3));
    await device.settled();
    device.roots.receive(4, root(4));
    await device.settled();
    expect(device.version()).toBe(4);
  });

  it('[C80] refuses a message that is not the next root, and examines the same bytes once', async () => {
    put('local/root.cbor', root(1));
    const device = await openDevice();
    await device.settled();
    const before = device.examinations();
    for (const [message, code] of [
      [await publishRoot({ ...first, version: 2 }, attacker), 'key-unknown'],
      [await publishRoot({ ...first, version: 2 }, alice), 'threshold-not-met'],
      [root(3), 'root-skipped'],
      [Buffer.from('rubbish'), 'envelope-malformed'],
    ] as const) {
      device.roots.receive(2, message);
      await device.settled();
      device.roots.receive(2, message);
      await device.settled();
      expect(device.log.at(-1)).toBe(code);
    }
    expect(
      device.log.filter((line) => /^(key-unknown|threshold|root-skipped|envelope)/.test(line)),
    ).toHaveLength(4);
    expect(device.examinations() - before).toBe(3);
    expect(device.version()).toBe(1);
  });

  it('endless data: a flood of roots costs few examinations, and the newest is examined next', async () => {
    put('local/root.cbor', root(1));
    const device = await openDevice();
    await device.settled();
    const startedMs = device.clock.nowMs();
    for (let count = 0; count < 30; count += 1) {
      const expires = first.expires + count;
      device.roots.receive(2, await publishRoot({ ...first, version: 2, expires }, attacker));
      await device.settled();
    }
    // Twenty at once, then one in eight seconds.
    expect(device.clock.nowMs() - startedMs).toBeGreaterThanOrEqual(9 * 8000);
    // The first waits for its turn, and the newest takes its place.
    for (const expires of [first.expires + 40, first.expires + 41])
      device.roots.receive(2, await publishRoot({ ...first, version: 2, expires }, attacker));
    device.roots.receive(2, root(2));
    await device.settled();
    expect(device.version()).toBe(2);
  });

  it('[C81] has the old or the new root after a power cut at any moment of saving', async () => {
    put('local/root.cbor', root(1));
    const device = await openDevice();
    await device.settled();
    const seen = new Set<number | undefined>();
    const cuts: CrashingDisk[] = [];
    device.disk.onChange = () => void cuts.push(...device.disk.crashes());
    device.roots.receive(2, root(2));
    await device.settled();
    device.disk.onChange = () => undefined;
    for (const disk of cuts)
      seen.add(
        (await openState(stateSlots(disk, '/state'), { log: () => undefined })).state.root?.document.version,
      );
    expect([...seen].sort()).toEqual([1, 2]);
  });
});

it('[C81] a deployment that saves an older state does not revert a root', async () => {
  const keeper = await openState(stateSlots(new CrashingDisk(), '/state'), { log: () => undefined });
  await keeper.update((state) => acceptRoot(state, first));
  const before = keeper.state;
  const saving = keeper.update((state) => acceptRoot(state, { ...first, version: 2 }));
  await keeper.save({ ...before, trusted: { version: 7, payloadSha256: 'a', issued: 1 } });
  await saving;
  expect(keeper.state.root?.document.version).toBe(2);
  expect(keeper.state.trusted.version).toBe(7);
  await keeper.save({ ...emptyState });
  expect(keeper.state.root?.document.version).toBe(2);
});
