import { randomBytes } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadBoardConfig } from '../../qemu/index.ts';
import type { RefusalCode } from '../../src/core/refusal/index.ts';
import type { AcName } from '../../src/image/appc/index.ts';
import { rootTopic } from '../../src/wire/report/index.ts';
import { decodeEnvelope, encodeDesiredState, encodeEnvelope } from '../../src/wire/trust/index.ts';
import { generateDeviceKey } from '../../src/wire/trust/sign.ts';
import { fasterClock } from '../support/faster-clock.ts';
import { day } from '../support/operator.ts';
import { role } from '../support/roots.ts';
import { staticFile } from '../support/test-server.ts';
import {
  type Answers,
  type Archive,
  AttackedDevice,
  naming,
  nowSeconds,
  secretOf,
} from './attacked-device.ts';
import { oneBoard } from './board-choice.ts';
import { fleet } from './scene.ts';

/**
 * The attacks on updates that TUF 1.0 and Uptane list. The attacker controls the broker and the web
 * server. The device refuses each attack with a code of its own, and the pod keeps its process. The
 * unit tests of wire/trust (`attacks`, `root-attacks`, `target-attacks`, `confidential`) and of
 * wire/http have more variants.
 */
const attacks = [
  'arbitrary software',
  'rollback',
  'freeze',
  'fast-forward',
  'mix-and-match',
  'endless data',
  'slow retrieval',
  'extraneous dependencies',
  'partial bundle',
  'key compromise',
  'wrong software',
  'eavesdrop',
  'denial of service',
] as const;
type Attack = (typeof attacks)[number];

/** The attack, what the attacker sends, the code of the answer, and how to make the message. */
type Row<Made> = readonly [
  attack: Attack,
  what: string,
  code: RefusalCode,
  make: (device: AttackedDevice) => Made | Promise<Made>,
];

/** Each of these commands would stop the pod. */
const commands: readonly Row<Uint8Array>[] = [
  [
    'arbitrary software',
    'a command of a stranger',
    'key-unknown',
    ({ scene, keys }) => scene.sign(scene.desired([]), keys.stranger),
  ],
  [
    'arbitrary software',
    'another command below the signatures of the operator',
    'signature-invalid',
    async (device) => {
      const { signatures } = decodeEnvelope(await device.signed(device.good));
      return encodeEnvelope({ payload: encodeDesiredState(device.scene.desired([])), signatures });
    },
  ],
  [
    'arbitrary software',
    'a value of its own for the secret of a command',
    'secret-mismatch',
    (device) => {
      const [genuine, forged] = [secretOf('token', 'genuine'), secretOf('token', 'forged')];
      return device.encrypted(naming(device.scene.desired([]), genuine), [forged]);
    },
  ],
  ['rollback', '[A9.22] an old command once more', 'version-older', ({ old }) => old],
  [
    'freeze',
    'a command that was held back past its expiry',
    'expired',
    (device) => {
      const now = nowSeconds();
      return device.signed(device.scene.desired([], { issued: now - 7200, expires: now - 60 }));
    },
  ],
  [
    'mix-and-match',
    'a second command of the version that runs',
    'version-conflict',
    (device) => device.signed({ ...device.good, pods: [], images: [] }),
  ],
  ['endless data', 'a message of 1 MB', 'envelope-too-large', () => Buffer.alloc(1 << 20)],
  [
    'key compromise',
    'a command of one of two deploy keys',
    'threshold-not-met',
    ({ scene, keys }) => scene.sign(scene.desired([]), keys.daily),
  ],
  [
    'wrong software',
    'the command of another device',
    'wrong-device',
    (device) => device.signed(device.scene.desired([], { target: { device: 'other' as AcName } })),
  ],
  [
    'wrong software',
    'the command of a group on the topic of the device',
    'wrong-target',
    (device) => device.signed(device.scene.desired([], { target: { group: 'others' as AcName } })),
  ],
  [
    'wrong software',
    'the command of another fleet',
    'wrong-fleet',
    (device) => device.signed(device.scene.desired([], { fleet: 'other' as AcName })),
  ],
  [
    'eavesdrop',
    'a command that is encrypted to another device',
    'decryption-failed',
    async (device) => {
      const { publicKey } = await generateDeviceKey('other');
      return await device.encrypted(device.scene.desired([]), [], publicKey);
    },
  ],
];

/** Each arrives on the topic of root 3. */
const roots: readonly Row<Uint8Array>[] = [
  [
    'key compromise',
    'a root of one of two root keys',
    'threshold-not-met',
    (device) => {
      const roles = { ...device.root(1).roles, deploy: role(1, device.keys.stranger) };
      return device.signedRoot(device.root(3, { roles }), 'alice');
    },
  ],
  ['rollback', 'an old root once more', 'root-older', (device) => device.signedRoot(device.root(1))],
  [
    'mix-and-match',
    'a second root of the version that is trusted',
    'root-conflict',
    (device) => device.signedRoot(device.root(2, { expires: nowSeconds() + 2 * day })),
  ],
  [
    'fast-forward',
    'a root of the highest version',
    'root-skipped',
    (device) => device.signedRoot(device.root(Number.MAX_SAFE_INTEGER)),
  ],
];

/** Sends data for as long as the client reads. */
const endless: RequestListener = (_, response) => {
  response.writeHead(200);
  const more = (): void => {
    while (response.write(Buffer.alloc(1 << 16)));
  };
  response.on('drain', more);
  more();
};

/** Each is an image in a properly signed command. */
const images: readonly Row<readonly [Archive, Answers]>[] = [
  [
    'arbitrary software',
    'an image and a signature of its own',
    'image-key-untrusted',
    async (device) => {
      const forged = device.release('forgery-1');
      const signature = await device.signatureOf(forged, device.keys.stranger);
      return [device.release('genuine-1'), { image: staticFile(forged.bytes), signature }];
    },
  ],
  [
    'arbitrary software',
    'another image below the genuine signature',
    'image-signature-invalid',
    (device) => {
      const forged = device.release('forgery-2');
      return [device.release('genuine-2'), { image: staticFile(forged.bytes) }];
    },
  ],
  [
    'arbitrary software',
    'an image without its signature',
    'image-signature-missing',
    (device) => {
      const signature: RequestListener = (_, response) => response.writeHead(404).end();
      return [device.release('genuine-3'), { signature }];
    },
  ],
  [
    'mix-and-match',
    '[A9.22] another released image with its signature',
    'image-id-mismatch',
    async (device) => {
      const other = device.release('genuine-5');
      const answers = { image: staticFile(other.bytes), signature: await device.signatureOf(other) };
      return [device.release('genuine-4'), answers];
    },
  ],
  [
    'endless data',
    'an image without an end',
    'download-too-large',
    (device) => [device.release('endless'), { image: endless }],
  ],
  [
    'endless data',
    'a signature without an end',
    'image-signature-invalid',
    (device) => [device.release('signed'), { signature: endless }],
  ],
  [
    'extraneous dependencies',
    'an image that requires one which the command does not list',
    'image-dependency-missing',
    (device) => [device.release('greedy', { dependencies: [{ imageName: 'example.com/more' }] }), {}],
  ],
  [
    'partial bundle',
    'one of two images in part',
    'download-truncated',
    (device) => {
      const whole = device.release('whole');
      return [whole, { image: staticFile(whole.bytes.subarray(0, 600)) }];
    },
  ],
  [
    'key compromise',
    'an image of one of two image keys',
    'image-threshold-not-met',
    (device) => [device.release('guarded', { name: 'example.com/guarded' }), {}],
  ],
  [
    'wrong software',
    'an image for another processor',
    'image-arch-mismatch',
    (device) => {
      const arch = device.scene.board.arch === 'amd64' ? 'aarch64' : 'amd64';
      const labels = Object.entries({ os: 'linux', arch }).map(([name, value]) => ({ name, value }));
      return [device.release('foreign', { labels }), {}];
    },
  ],
];

/**
 * How much faster the clock of a pull runs. A pull gives up a slow server after five times 30 s.
 */
const speed = 20;

describe.each(oneBoard)('with the broker and the web server of an attacker, %s', (boardName) => {
  let device: AttackedDevice;
  let scene: AttackedDevice['scene'];
  const codes: (readonly [Attack, RefusalCode])[] = [...commands, ...roots, ...images].map(
    ([attack, , code]) => [attack, code],
  );
  const named = (attack: Attack, what: string, code: RefusalCode): string => {
    codes.push([attack, code]);
    return `${attack}: ${what}: ${code}`;
  };

  beforeAll(async () => {
    device = await AttackedDevice.start(boardName);
    scene = device.scene;
  });
  afterAll(() => device.stop());

  it.each(commands)('%s: the broker sends %s: %s', async (_attack, _what, code, make) => {
    const message = await make(device);
    await device.refuses(code, () => scene.send(message));
  });

  it.each(roots)('%s: the broker sends %s: %s', async (_attack, _what, code, make) => {
    const message = await make(device);
    await device.refuses(code, () => scene.send(message, rootTopic(fleet, 3)));
    expect(scene.reports.at(-1)?.root?.version).toBe(2);
  });

  it.each(images)('%s: the web server sends %s: %s', async (_attack, _what, code, make) => {
    const [archive, answers] = await make(device);
    await device.refuses(code, () => device.command(archive, answers));
    await expect.poll(() => scene.board.check('ls /var/lib/wherry/partial')).toBe('');
  });

  describe('a pull whose clock is faster', () => {
    const library = loadBoardConfig(boardName).config.kind === 'native' ? fasterClock : undefined;
    const dropIn = '/etc/systemd/system/wherry-pull@.service.d';
    beforeAll(async () => {
      if (library === undefined) return;
      const preload = '/usr/lib/libfaketimeMT.so.1';
      const text = `[Service]\nEnvironment=LD_PRELOAD=${preload} "FAKETIME=+0 x${speed}" FAKETIME_DISABLE_SHM=1\n`;
      await scene.board.copyIn(library, preload);
      await scene.board.check(`mkdir ${dropIn}`);
      await scene.board.copyIn(Buffer.from(text), `${dropIn}/clock.conf`);
      await scene.board.check('systemctl daemon-reload');
    });
    afterAll(() => scene.board.check(`rm -rf ${dropIn}; systemctl daemon-reload`));

    it(
      named('slow retrieval', 'the web server sends no byte of an image', 'download-too-slow'),
      async (test) => {
        if (library === undefined)
          return test.skip('this takes minutes without libfaketime; see wire/http/download.test.ts');
        let requests = 0;
        const image: RequestListener = (_, response) => {
          requests += 1;
          response.writeHead(200).flushHeaders();
        };
        await device.refuses('download-too-slow', () => device.command(device.release('slow'), { image }));
        expect(requests).toBe(5);
      },
    );

    it(named('denial of service', 'the web server closes each connection', 'download-failed'), async () => {
      const image: RequestListener = ({ socket }) => void socket.destroy();
      await device.refuses('download-failed', () => device.command(device.release('denied'), { image }));
    });
  });

  it(named('freeze', 'the broker holds back the root after one that expired', 'root-expired'), async () => {
    await device.takesRoot(device.root(device.nextRoot, { expires: nowSeconds() - 60 }));
    const desired = device.desired();
    const message = await device.signed(desired);
    await device.refuses('root-expired', () => scene.send(message));
    await device.commits(desired, () => device.takesRoot(device.root(device.nextRoot)));
  });

  it('fast-forward: stolen deploy keys use the highest version until a root revokes them', async () => {
    const highest = { version: Number.MAX_SAFE_INTEGER, issued: nowSeconds() - 60 };
    const stolen = device.desired(highest);
    const theirs = await device.signed(stolen);
    await device.commits(stolen, () => scene.send(theirs));
    const honest = await device.signed(device.desired());
    await device.refuses('version-older', () => scene.send(honest));

    device.operators = [device.keys.spare, device.keys.next];
    const roles = { ...device.root(1).roles, deploy: role(2, ...device.operators) };
    await device.takesRoot(device.root(device.nextRoot, { roles, issued: nowSeconds() - 30 }));
    const desired = device.desired();
    const message = await device.signed(desired);
    await device.commits(desired, () => scene.send(message));
    await device.refuses('key-unknown', () => scene.send(theirs));
  });

  it('eavesdrop: the broker finds neither names nor a secret in an encrypted command', async () => {
    const secret = secretOf('planted-name', `planted-${randomBytes(12).toString('hex')}`);
    const desired = naming(device.desired(), secret);
    const message = Buffer.from(await device.encrypted(desired, [secret]));
    await device.commits(desired, () => scene.send(message));
    const payload = Buffer.from(encodeDesiredState(desired));
    for (const name of [secret.name, device.image.name]) {
      expect(payload.includes(name)).toBe(true);
      expect(message.includes(name)).toBe(false);
    }
    expect(scene.traffic.some((one) => message.equals(one))).toBe(true);
    expect(scene.traffic.filter((one) => Buffer.from(one).includes(Buffer.from(secret.value)))).toEqual([]);
  });

  it('denial of service: the broker stops and starts again', async () => {
    const losses = `journalctl --sync; journalctl -q -u wherryd -o cat | grep -c 'no connection to the broker'`;
    const { stdout: before } = await scene.board.run(losses);
    const count = scene.reports.length;
    await scene.stopBroker();
    await scene.board.waitFor(losses, ({ stdout }) => Number(stdout) > Number(before));
    await device.keepsRunning();
    await scene.startBroker();
    await scene.report(() => scene.reports.length > count);
    await device.keepsRunning();
  });

  it('denial of service: the broker repeats a command 100 times before the next one', async () => {
    const message = await device.signed(device.good);
    const [events, acknowledged] = [scene.events.length, scene.acknowledged];
    for (let sent = 0; sent < 100; sent++) await scene.send(message);
    await expect.poll(() => scene.acknowledged).toBeGreaterThanOrEqual(acknowledged + 100);
    const desired = device.desired();
    const next = await device.signed(desired);
    await device.commits(desired, () => scene.send(next));
    expect(scene.events).toHaveLength(events + 1);
  });

  it('denial of service: the broker sends 500 messages of noise before a command', async () => {
    const lines = async (): Promise<number> =>
      Number(await scene.board.check('journalctl --sync; journalctl -q -u wherryd -o cat | wc -l'));
    const [events, acknowledged, logged] = [scene.events.length, scene.acknowledged, await lines()];
    for (let sent = 0; sent < 500; sent++) await scene.send(randomBytes(100));
    await expect.poll(() => scene.acknowledged).toBeGreaterThanOrEqual(acknowledged + 500);
    const desired = device.desired();
    const message = await device.signed(desired);
    await device.commits(desired, () => scene.send(message));
    expect(scene.events.length - events).toBeLessThan(100);
    expect((await lines()) - logged).toBeLessThan(100);
  });

  it('each attack has a code that no other attack has', () => {
    const owners = (code: RefusalCode) =>
      new Set(codes.flatMap(([attack, one]) => (one === code ? [attack] : [])));
    const withOwn = new Set(codes.flatMap(([attack, code]) => (owners(code).size === 1 ? [attack] : [])));
    expect([...withOwn].sort()).toEqual([...attacks].sort());
  });
});
