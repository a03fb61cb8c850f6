import { createHash, randomBytes } from 'node:crypto';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AcIdentifier, AcName, NameValue } from '../../src/image/appc/types.ts';
import { parseImageId } from '../../src/image/appc/identifiers.ts';
import { encodeCbor } from '../../src/core/cbor/encode.ts';
import type { RefusalCode } from '../../src/core/refusal/codes.ts';
import type { DeploymentEvent } from '../../src/wire/report/report.ts';
import { decodeEnvelope, encodeEnvelope } from '../../src/wire/trust/envelope.ts';
import type { DesiredState } from '../../src/wire/trust/desired-state.ts';
import { encodeDesiredState } from '../../src/wire/trust/desired-state-codec.ts';
import { generateKey, signDetached } from '../../src/wire/trust/sign.ts';
import { file, manifest, type RawEntry, rootfs, tar } from '../support/raw-tar.ts';
import { oneBoard } from './board-choice.ts';
import { type BuiltImage, Scene } from './scene.ts';

/** Creates the message of a row in the table of commands. */
type MakeMessage = (scene: Scene, good: DesiredState) => Promise<Uint8Array>;
/** Creates and offers the image of a row in the table of images. */
type MakeImage = (scene: Scene) => Promise<BuiltImage>;

/** Empty sets: a device that obeyed one of these commands would stop the running pod. */
const badCommands: readonly [what: string, code: RefusalCode, make: MakeMessage][] = [
  ['[C12] 1 MB of noise on the topic', 'envelope-too-large', () => Promise.resolve(randomBytes(1 << 20))],
  [
    '[C12] malformed CBOR',
    'envelope-malformed',
    async (scene) => (await scene.sign(scene.desired([]))).subarray(0, -1),
  ],
  [
    '[C12] an unsigned command',
    'unsigned',
    async (scene) => {
      const { format, payload } = decodeEnvelope(await scene.sign(scene.desired([])));
      return encodeCbor({ format, payload, signatures: [] });
    },
  ],
  [
    '[C21] a command signed by an unknown key',
    'key-unknown',
    async (scene) => await scene.sign(scene.desired([]), await generateKey({ name: 'stranger' })),
  ],
  [
    '[C21] a command with the signature of another one',
    'signature-invalid',
    async (scene, good) => {
      const { signatures } = decodeEnvelope(await scene.sign(good));
      return encodeEnvelope({ payload: encodeDesiredState(scene.desired([])), signatures });
    },
  ],
  [
    '[C20] a signed payload that is not a desired state',
    'desired-malformed',
    async (scene) => {
      const payload = encodeCbor({ ...scene.desired([]), format: 2 });
      const at = Math.floor(Date.now() / 1000);
      return encodeEnvelope({
        payload,
        signatures: [await signDetached(payload, scene.deployKey.privateKey, at)],
      });
    },
  ],
  [
    '[C22] a command for another fleet',
    'wrong-fleet',
    (scene) => scene.sign(scene.desired([], { fleet: 'other' as AcName })),
  ],
  [
    '[C22] a command for another device',
    'wrong-device',
    (scene) => scene.sign(scene.desired([], { target: { device: 'other' as AcName } })),
  ],
  [
    '[C23] a command of an older version',
    'version-older',
    (scene, good) => scene.sign(scene.desired([], { version: good.version - 1 })),
  ],
  [
    '[C23] a command of the same version with other content',
    'version-conflict',
    (scene, good) => scene.sign({ ...good, pods: [], images: [] }),
  ],
  [
    '[C25] an expired command',
    'expired',
    (scene) => {
      const now = Math.floor(Date.now() / 1000);
      return scene.sign(scene.desired([], { issued: now - 7200, expires: now - 3600 }));
    },
  ],
];

const outside = '/etc/wherry-was-here';

const badImages: readonly [what: string, code: RefusalCode, make: MakeImage][] = [
  [
    '[C31] an image without a signature',
    'image-signature-missing',
    async (scene) => {
      const image = await craft(scene, [manifest, rootfs]);
      await rm(`${image.path}.asc`);
      return image;
    },
  ],
  [
    '[C31] an image signed by a key that is not trusted',
    'image-key-untrusted',
    async (scene) => {
      const image = await craft(scene, [manifest, rootfs]);
      return await scene.offer(image.path, image, await generateKey({ name: 'stranger' }));
    },
  ],
  [
    '[C31] an image with the signature of another one',
    'image-signature-invalid',
    async (scene) => {
      const other = await craft(scene, [manifest, rootfs, file('rootfs/other')]);
      const image = await craft(scene, [manifest, rootfs]);
      await writeFile(`${image.path}.asc`, await readFile(`${other.path}.asc`));
      return image;
    },
  ],
  [
    '[C31] an image with one flipped byte',
    'image-signature-invalid',
    async (scene) => {
      const image = await craft(scene, [manifest, rootfs, file('rootfs/page', 'x'.repeat(5000))]);
      const bytes = await readFile(image.path);
      const middle = bytes.length >> 1;
      bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
      await writeFile(image.path, bytes);
      return image;
    },
  ],
  [
    '[C32] another image than commanded',
    'image-id-mismatch',
    async (scene) => ({
      ...(await craft(scene, [manifest, rootfs])),
      id: parseImageId(`sha512-${'0'.repeat(128)}`),
    }),
  ],
  [
    '[C32] a download that ends early',
    'download-truncated',
    async (scene) => {
      const image = await craft(scene, [manifest, rootfs]);
      await truncate(image.path, image.sizeBytes - 10);
      return image;
    },
  ],
  [
    '[C33] an image for another architecture',
    'image-arch-mismatch',
    (scene) => {
      const labels = [
        { name: 'arch' as AcIdentifier, value: scene.board.arch === 'amd64' ? 'aarch64' : 'amd64' },
        { name: 'os' as AcIdentifier, value: 'linux' },
      ];
      const text = JSON.stringify({ ...(JSON.parse(String(manifest.body)) as object), labels });
      return craft(scene, [file('manifest', text), rootfs], labels);
    },
  ],
  [
    '[C34] a path that climbs out of the root',
    'archive-path-forbidden',
    (scene) => craft(scene, [manifest, rootfs, file(`rootfs/../..${outside}`)]),
  ],
  [
    '[C34] an absolute path',
    'archive-path-forbidden',
    (scene) => craft(scene, [manifest, rootfs, file(outside)]),
  ],
  [
    '[C34] a hard link out of the root',
    'archive-link-forbidden',
    (scene) =>
      craft(scene, [manifest, rootfs, { name: 'rootfs/shadow', type: '1', linkname: '../etc/shadow' }]),
  ],
  [
    '[C34] an archive without a manifest',
    'image-manifest-missing',
    (scene) => craft(scene, [rootfs, file('rootfs/page')]),
  ],
  [
    '[C34] an archive with two manifests',
    'image-manifest-duplicate',
    (scene) => craft(scene, [manifest, rootfs, manifest]),
  ],
  ['[C35] a gzip bomb of 10 GB', 'archive-too-large', bomb],
];

/**
 * Offers an archive of exactly these entries. Signature and description are correct, so only the
 * content can cause a refusal.
 */
async function craft(
  scene: Scene,
  entries: readonly RawEntry[],
  labels: readonly NameValue[] = [],
): Promise<BuiltImage> {
  const bytes = tar(...entries);
  return await offer(scene, gzipSync(bytes), { hashed: bytes, tarSizeBytes: bytes.length, labels });
}

/**
 * 10 GB of zeros after the end of a good archive, in 10 MB: one gzip member over and over. Its
 * announced unpacked size is within the limit.
 */
async function bomb(scene: Scene): Promise<BuiltImage> {
  const memberBytes = 16 << 20;
  const member = gzipSync(Buffer.alloc(memberBytes));
  const members = Array<Buffer>(Math.ceil(10e9 / memberBytes)).fill(member);
  const head = tar(manifest, rootfs);
  const bytes = Buffer.concat([gzipSync(head), ...members]);
  return await offer(scene, bytes, { hashed: bytes, tarSizeBytes: 64 << 20, labels: [] });
}

async function offer(
  scene: Scene,
  bytes: Buffer,
  about: { hashed: Buffer; tarSizeBytes: number; labels: readonly NameValue[] },
): Promise<BuiltImage> {
  const { hashed, tarSizeBytes, labels } = about;
  const id = parseImageId(`sha512-${createHash('sha512').update(hashed).digest('hex')}`);
  const path = join(scene.directory, `${id.slice(-16)}.aci`);
  await writeFile(path, bytes);
  const name = 'example.com/app' as AcIdentifier;
  return await scene.offer(path, { id, name, labels, sizeBytes: bytes.length, tarSizeBytes });
}

describe.each(oneBoard)('bad input on %s:', (boardName) => {
  let scene: Scene;
  let good: DesiredState;
  /** The state of the device before the first bad input. */
  let before: string;

  beforeAll(async () => {
    scene = await Scene.start(boardName);
    const busybox = await scene.image('busybox', ['/usr/bin/busybox', 'sleep', '1000000']);
    scene.desired([]); // an older version than the good one
    good = scene.desired([{ name: 'good', image: busybox }]);
    expect(await scene.deploy(good)).toMatchObject({ outcome: 'committed' });
    await scene.report((report) => report.pods.length === 1 && report.pods.every((pod) => pod.healthy));
    before = await settled();
    await newInJournal();
    expect(before).toContain(`/var/lib/wherry/images/${busybox.id}.erofs\n`);
    expect(before).toMatch(/^MainPID=[1-9]/m);
  });
  afterAll(async () => {
    await scene.stop();
  });

  /**
   * The process of the good pod, and every name where a refused image could have left something.
   * The record of a report is written under another name and renamed; an answer is kept until it is
   * acknowledged.
   */
  async function look(): Promise<string> {
    return await scene.board.check(`
      systemctl show -p MainPID -p NRestarts -p ActiveState 'wherry-pod-good.*-main.service'
      find /var/lib/wherry/images /var/lib/wherry/partial /run/wherry /etc/systemd/system -xdev ! -name record.json.new ! -name "unsent.json*" | sort
      find /var/lib/wherry/pods -maxdepth 1
      findmnt -rn -o TARGET | grep wherry | sort
      ls -d ${outside} 2>&1
      systemctl list-units --all --plain --no-legend 'wherry-p*' | awk '{ print $1, $3 }'
    `);
  }

  /** The same, once wherryd has recorded a report and no work of the deployment is left. */
  async function settled(): Promise<string> {
    await scene.board.waitFor(`test -e /run/wherry/record.json && test -z "$(
      systemctl list-jobs --no-legend
      systemctl list-units --all --plain --no-legend wherry-{pull,render}@* wherry-{examine,seal,volume}.service
      find /var/lib/wherry/partial /run/wherry/pull /run/wherry/examine -mindepth 1 2>/dev/null)"`);
    return await look();
  }

  /** The lines that wherryd logged since the last call. */
  async function newInJournal(): Promise<Record<string, string>[]> {
    const out = await scene.board.check(
      'journalctl --sync; journalctl -q --cursor-file=/run/refusals.cursor -u wherryd -o json',
    );
    const lines = out.split('\n').filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line) as Record<string, string>);
  }

  /**
   * Expects one terminal answer, one line in the journal, and an unchanged device except for one
   * file.
   */
  async function expectRefusal(
    code: RefusalCode,
    count: number,
    kept = '',
  ): Promise<DeploymentEvent & { message: string }> {
    const event = await scene.eventAfter(count);
    expect(event).toMatchObject({ outcome: 'refused', code });
    const message = 'message' in event ? event.message : '';
    await scene.report(({ refused, deployment }) =>
      event.version === 0
        ? refused?.code === code && refused.message === message
        : deployment?.version === event.version && deployment.phase === 'refused' && deployment.code === code,
    );
    const coded = (await newInJournal()).filter((line) => line['WHERRY_CODE'] !== undefined);
    expect(coded.map((line) => line['WHERRY_CODE'])).toEqual([code]);
    expect(coded[0]?.['MESSAGE']).toContain(message);
    expect(coded[0]?.['MESSAGE']).not.toContain('\n');
    expect(coded[0]?.['PRIORITY']).toBe('3');
    const device = async (): Promise<string> => (await look()).replace(kept === '' ? '' : `${kept}\n`, '');
    await expect.poll(device).toBe(before);
    expect(scene.events).toHaveLength(count + 1);
    return { ...event, message };
  }

  it.each(badCommands)('%s is refused: %s', async (_, code, make) => {
    const message = await make(scene, good);
    const count = scene.events.length;
    await scene.send(message);
    await expectRefusal(code, count);
    const report = scene.reports.at(-1);
    expect(report).toMatchObject({ trustedVersion: good.version, currentVersion: good.version });
  });

  const command = async (image: BuiltImage, manifest = {}): Promise<DesiredState> => {
    const desired = scene.desired([{ name: 'good', image, manifest }]);
    await scene.send(await scene.sign(desired));
    return desired;
  };

  it.each(badImages)('%s is refused and leaves nothing: %s [C37]', async (_, code, make) => {
    const image = await make(scene);
    const count = scene.events.length;
    const { version } = await command(image);
    const event = await expectRefusal(code, count);
    expect(event).toMatchObject({ version });
    expect(event.message).toContain(image.name);
  });

  it('[C36] an image with too little space for it is refused before its first byte: no-space', async () => {
    const image = { ...(await craft(scene, [manifest, rootfs])), tarSizeBytes: 2 ** 40 };
    const count = scene.events.length;
    const requests = scene.requests.length;
    await command(image);
    await expectRefusal('no-space', count);
    expect(scene.requests).toHaveLength(requests);
  });

  it.each<[Record<string, unknown>, RefusalCode, object?]>([
    [{ user: 'nobody-here' }, 'pod-user-unknown'],
    [{ workingDirectory: '/nowhere' }, 'pod-manifest-invalid'],
    [{ exec: ['/usr/bin/bussybox', 'true'] }, 'pod-app-missing'],
    [
      { mountPoints: [{ name: 'tools', path: '/usr/bin' }] },
      'pod-volume-invalid',
      { volumes: [{ name: 'tools', kind: 'empty' }] },
    ],
  ])(
    '[C41] [C271] [C272] [C293] [C376] a pod that cannot be made from a good image is refused: %j, %s',
    async (app, code, manifest) => {
      const image = await scene.image('busybox', ['/usr/bin/busybox', 'true'], { app });
      const object = `/var/lib/wherry/images/${image.id}.erofs`;
      const count = scene.events.length;
      await command(image, manifest);
      expect((await expectRefusal(code, count, object)).message).toMatch(/^pod good: app main: /);
      await scene.board.check('wherry gc');
      await scene.board.waitFor(`test ! -e ${object}`);
      await expect.poll(look).toBe(before);
    },
  );

  it('[C41] none of this changes the pod or its version', async () => {
    const report = await scene.report((latest) => latest.pods.length === 1);
    expect(report).toMatchObject({ currentVersion: good.version });
    expect(report.pods[0]).toMatchObject({ name: 'good', healthy: true });
    expect(report.pods[0]?.apps[0]).toMatchObject({ restarts: 0 });
  });

  it('[C53] an idle device writes nothing to its disk while it checks and reports', async () => {
    await scene.configure('[report]\nschedule = "* * * * * *"');
    const connectAgain = async (): Promise<void> => {
      const before = scene.reports.length;
      await scene.stopBroker();
      await scene.startBroker();
      await scene.report(() => scene.reports.length > before);
    };
    const written = (): Promise<string> =>
      scene.board.check('grep ^write_bytes: /proc/$(systemctl show -P MainPID wherryd)/io');
    await connectAgain();
    const first = await written();
    for (let round = 0; round < 3; round++) await connectAgain();
    expect(await written()).toBe(first);
    expect(await scene.board.check('find /var/lib/wherry -newer /etc/wherry/wherry.toml')).toBe('');
  });

  it('in wherry.toml delays each restart longer, until a start succeeds [C315]', async () => {
    const place = '/etc/wherry/wherry.toml';
    const show = (property: string) => scene.board.check(`systemctl show -P ${property} wherryd`);
    await scene.board.check(
      `cp ${place} /root/kept; echo wrong >>${place}; systemctl restart wherryd || true`,
    );
    await scene.board.waitFor('[ $(systemctl show -P NRestarts wherryd) -ge 2 ]');
    expect(await show('RestartUSecNext')).not.toBe('2s\n');
    const before = scene.reports.length;
    await scene.board.check(`cp /root/kept ${place}`);
    await scene.report(() => scene.reports.length > before);
    await scene.board.waitFor('[ $(systemctl show -P NRestarts wherryd) = 0 ]');
    expect(await show('RestartUSecNext')).toBe('2s\n');
  });
});
