import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AcName } from '../../src/image/appc/index.ts';
import { type DeploymentEvent, groupTopic } from '../../src/wire/report/index.ts';
import {
  decodeEnvelope,
  type DesiredState,
  secretDigest,
  type SecretValue,
} from '../../src/wire/trust/index.ts';
import { encryptMessage, generateDeviceKey } from '../../src/wire/trust/sign.ts';
import { appPids } from './app-pids.ts';
import { oneBoard } from './board-choice.ts';
import { expectNowhere, secretValue } from './planted.ts';
import { type BuiltImage, fleet, Scene } from './scene.ts';

describe.each(oneBoard)('on %s', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;
  let deviceKey: string;
  const password = secretValue('db-password');
  const rotated = { ...secretValue('db-password') };
  const other = secretValue('api-token');

  const pod = {
    name: 'shop',
    manifest: {
      apps: [
        ['reader', 'db-password:0440 api-token'],
        ['other', 'api-token'],
        ['plain', ''],
      ] as const,
    },
  };
  const desired = (secrets: readonly SecretValue[], overrides: Partial<DesiredState> = {}): DesiredState =>
    scene.desired(
      [
        {
          name: pod.name,
          image,
          manifest: {
            apps: pod.manifest.apps.map(([name, uses]) => ({
              name,
              image: { id: image.id, name: image.name },
              ...(uses === '' ? {} : { annotations: [{ name: 'wherry/secrets', value: uses }] }),
            })),
          },
        },
      ],
      {
        secrets: secrets.map((secret) => ({ name: secret.name, digest: secretDigest(secret) })),
        ...overrides,
      },
    );
  const deploy = async (
    state: DesiredState,
    secrets: readonly SecretValue[],
    key = deviceKey,
  ): Promise<DeploymentEvent> => {
    const { payload, signatures } = decodeEnvelope(await scene.sign(state));
    await scene.send(await encryptMessage({ payload, signatures, secrets }, [key]));
    return await scene.answer(state.version);
  };
  /** Runs a command on the board, in the root directory of an app. */
  const inApp = async (app: string, command: string): Promise<string> => {
    const pid = (await pids())[app] ?? '';
    return (await scene.board.check(`cd /proc/${pid}/root && ${command}`)).trim();
  };
  const pids = () => appPids(scene.board, 'shop');

  beforeAll(async () => {
    scene = await Scene.start(boardName);
    await scene.board.check('wherry key init');
    deviceKey = await scene.board.check('wherry key show');
    // The layer of an app with such a handler is on the host; the search must find no values there.
    const names = 'for name in *; do [ -s "$name" ] && echo "ended with $name"; done';
    const atTheEnd = `cd /run/secrets && ${names}`;
    image = await scene.image('busybox', ['/bin/busybox', 'sleep', '100000'], {
      app: {
        ...{ user: '1000', group: '1001' },
        eventHandlers: [{ name: 'post-stop', exec: ['/bin/busybox', 'sh', '-c', atTheEnd] }],
      },
    });
  });
  afterAll(() => scene.stop());

  it('hands a secret to the app that names it, as its own file in memory [C154]', async () => {
    expect(await deploy(desired([password, other]), [password, other])).toMatchObject({
      outcome: 'committed',
    });
    expect(await inApp('reader', 'cat run/secrets/db-password')).toBe(password.value.toString());
    expect(await inApp('reader', 'ls -ln run/secrets')).toMatch(
      /^-r-------- +1 1000 +1001 .* api-token\n-r--r----- +1 1000 +1001 .* db-password$/m,
    );
    const reader = (await pids())['reader'] ?? '';
    expect(await scene.board.check(`cat /proc/${reader}/mounts`)).toMatch(/ \/run\/secrets ramfs ro,/);
    expect(await inApp('other', 'ls run/secrets')).toBe('api-token');
    expect(await inApp('plain', 'ls run')).not.toContain('secrets');
  });

  it('starts apps with their secrets at boot without wherryd [C155]', async () => {
    await scene.board.check('systemctl disable wherryd; sync');
    await scene.board.reboot();
    // All apps of the pod run. A boot of a slow board takes minutes.
    await scene.board.waitFor(
      "systemctl list-units --state=active --plain --no-legend 'wherry-pod-shop.*.service' | wc -l",
      ({ stdout }) => stdout === '3\n',
      300_000,
    );
    expect(await scene.board.run('systemctl is-active wherryd')).toMatchObject({ stdout: 'inactive\n' });
    expect(await inApp('reader', 'cat run/secrets/db-password')).toBe(password.value.toString());
    await scene.board.check('systemctl enable --now wherryd');
  });

  it('restarts only the apps that use a secret when its value changes [C156]', async () => {
    const before = await pids();
    expect(await deploy(desired([rotated, other]), [rotated])).toMatchObject({ outcome: 'committed' });
    expect(await inApp('reader', 'cat run/secrets/db-password')).toBe(rotated.value.toString());
    const after = await pids();
    expect(Object.keys(after).sort()).toEqual(['other', 'plain', 'reader']);
    expect(after).toMatchObject({ other: before['other'], plain: before['plain'] });
    expect(after['reader']).not.toBe(before['reader']);
    await expect
      .poll(() => scene.board.check("journalctl --no-pager -o cat -u 'wherry-pod-shop.*-reader.*'"))
      .toContain('ended with api-token\nended with db-password\n');
    const units = await scene.board.check(
      'ls /etc/systemd/system | grep -c "wherry-pod-shop.*reader.*service"',
    );
    expect(units.trim()).toBe('1');
  });

  it('brings the old value back when the new one does not work', async () => {
    const broken = secretValue('db-password');
    const state = desired([broken, other], {
      policy: { probationSeconds: 3, reconnectWindowSeconds: 1, limits: 'best-effort' },
    });
    const pods = state.pods.map(({ name, manifest }) => ({ name, manifest }));
    // An app that cannot start makes the set fail.
    const failing = {
      ...state,
      pods: [...pods, { name: 'bad' as AcName, manifest: badPod() }],
    };
    expect(await deploy(failing, [broken])).toMatchObject({ outcome: 'rolled-back' });
    expect(await inApp('reader', 'cat run/secrets/db-password')).toBe(rotated.value.toString());
  });
  const badPod = (): Uint8Array =>
    Buffer.from(
      JSON.stringify({
        acKind: 'PodManifest',
        acVersion: '0.8.11',
        apps: [
          {
            name: 'main',
            image: { id: image.id },
            app: { exec: ['/usr/bin/busybox', 'false'], user: '0', group: '0' },
          },
        ],
      }),
    );

  it('refuses a version whose value never came, and one for another device', async () => {
    const unknown = secretValue('db-password');
    expect(await deploy(desired([unknown, other]), [])).toMatchObject({
      outcome: 'refused',
      code: 'secret-missing',
    });
    const foreign = await generateDeviceKey('another device');
    const state = desired([password, other]);
    const { payload, signatures } = decodeEnvelope(await scene.sign(state));
    await scene.send(await encryptMessage({ payload, signatures, secrets: [] }, [foreign.publicKey]));
    await scene.refusal('decryption-failed');
    expect(await inApp('reader', 'cat run/secrets/db-password')).toBe(rotated.value.toString());
  });

  it('[C225] refuses the command of a group that is not encrypted to it, until one is', async () => {
    await scene.board.check(
      `sed -i '1i groups = ["kitchen"]' /etc/wherry/wherry.toml; systemctl restart wherryd`,
    );
    await scene.report(({ groups }) => groups?.length === 1);
    const target = { group: 'kitchen' as AcName };
    const topic = groupTopic(fleet, target.group);
    const others = (await generateDeviceKey('another device')).publicKey;
    const send = async (state: DesiredState, ...keys: readonly string[]): Promise<void> => {
      const { payload, signatures } = decodeEnvelope(await scene.sign(state));
      await scene.send(await encryptMessage({ payload, signatures, secrets: [other] }, keys), topic);
    };
    const joined = desired([password, other], { target });
    await send(joined, others);
    const refusing = await scene.report(
      ({ refused }) => refused?.code === 'decryption-failed' && refused.group !== undefined,
    );
    expect(refusing.refused).toMatchObject({
      group: 'kitchen',
      message: expect.stringContaining('not to') as string,
    });
    expect(await inApp('reader', 'cat run/secrets/db-password')).toBe(rotated.value.toString());
    // The remedy is the same command, encrypted to this device, too. The device's own command has
    // precedence.
    await send(joined, others, deviceKey);
    expect(await scene.answer(joined.version)).toMatchObject({ group: 'kitchen', code: 'passed-over' });
    await scene.report(({ groups }) => groups?.[0]?.trustedVersion === joined.version);
  });

  it('leaves no value on the disk, in the journal, in units, environments, reports or the broker [C155]', async () => {
    await expectNowhere(scene, [password, rotated, other]);
    expect(scene.reports.at(-1)?.capabilities.find(({ name }) => name === 'encryption')).toMatchObject({
      available: true,
    });
  }, 1_200_000);

  it('waits for a lock, reports why, can be superseded, and continues without the lock [C171] [C172]', async () => {
    await scene.board.check('wherry lock add harvest --reason "the harvester runs"');
    const held = desired([rotated, other]);
    await scene.send(await scene.sign(held));
    const waiting = await scene.report(({ deployment }) => deployment?.phase === 'wait');
    expect(waiting.deployment).toMatchObject({
      version: held.version,
      why: expect.stringMatching(/^the lock harvest holds it until .*: the harvester runs$/) as string,
    });
    const next = desired([rotated, other]);
    await scene.send(await scene.sign(next));
    expect(await scene.answer(held.version)).toMatchObject({ outcome: 'superseded' });
    await scene.report(
      ({ deployment }) => deployment?.version === next.version && deployment.phase === 'wait',
    );
    await scene.board.check('wherry lock rm harvest');
    expect(await scene.answer(next.version)).toMatchObject({ outcome: 'committed' });
  });

  it('collects values that no deployment needs', async () => {
    const file = (secret: SecretValue): string => `/var/lib/wherry/secrets/${secretDigest(secret)}.cred`;
    await scene.board.check(`test -e ${file(password)} && wherry gc`);
    await scene.board.waitFor(`test ! -e ${file(password)}`);
    await scene.board.check(`test -e ${file(rotated)} && test -e ${file(other)}`);
  });

  it('[C375] keeps its key, and makes no half of a lock, where no file can be written', async () => {
    const files = 'sha256sum /var/lib/wherry/device-key.*; ls -A /var/lib/wherry/locks';
    await scene.board.check('mkdir -p /var/lib/wherry/locks');
    const before = await scene.board.check(files);
    for (const [command, why] of [
      ['wherry key init --force', 'the key cannot be written'],
      ['wherry lock add audit --reason audit --for 60 --keep', '/var/lib/wherry/locks/audit'],
    ] as const) {
      // Another process writes what it says: the board keeps that in a file, too.
      const limited = `(trap "" XFSZ; ulimit -f 0; ${command}) 2>&1 | cat; exit "\${PIPESTATUS[0]}"`;
      const { status, stdout } = await scene.board.run(limited);
      expect(status, stdout).toBe(70);
      expect(stdout).toContain(why);
      expect(stdout).toContain('(no-space)');
    }
    expect(await scene.board.check(files)).toBe(before);
  });

  it('[C27] reports a full disk as such, and obeys the command when there is room', async () => {
    const fresh = secretValue('db-password');
    const state = desired([fresh, other]);
    const secrets = '/var/lib/wherry/secrets';
    await scene.board.check(
      `mount -t tmpfs -o size=64k full ${secrets}; head -c 200000 /dev/zero >${secrets}/filler || true`,
    );
    const { payload, signatures } = decodeEnvelope(await scene.sign(state));
    await scene.send(await encryptMessage({ payload, signatures, secrets: [fresh] }, [deviceKey]));
    expect(await scene.refusal('no-space')).toMatchObject({
      message: expect.stringContaining('the secret db-password cannot be sealed') as string,
    });
    expect((await scene.board.check(`ls ${secrets}`)).trim()).toBe('filler');
    await scene.board.check(`umount ${secrets}`);
    expect(await scene.answer(state.version)).toMatchObject({ outcome: 'committed' });
    expect(await inApp('reader', 'cat run/secrets/db-password')).toBe(fresh.value.toString());
  });
});
