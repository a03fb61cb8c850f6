import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DeploymentEvent } from '../../src/wire/report/index.ts';
import {
  decodeEnvelope,
  type DesiredState,
  secretDigest,
  type SecretValue,
} from '../../src/wire/trust/index.ts';
import { encryptMessage } from '../../src/wire/trust/sign.ts';
import { appPids } from './app-pids.ts';
import { oneBoard } from './board-choice.ts';
import { expectNowhere, secretValue } from './planted.ts';
import { type BuiltImage, Scene } from './scene.ts';

/** What the app logs in place of the value. */
function sum({ value }: SecretValue): string {
  return createHash('md5').update(value).digest('hex');
}

/** It reads its secret at its start and at each signal, and ends if the value is a broken one. */
const reads = `look() {
  read -r value </run/secrets/db-password || :
  case $value in broken*) exit 3 ;; esac
  echo "$1 $(/bin/busybox md5sum /run/secrets/db-password)"
}
trap 'look again' HUP
look first
while :; do /bin/busybox sleep 1; done`;

/** It has no handler for the signal. */
const deaf = 'while :; do /bin/busybox sleep 1; done';

describe.each(oneBoard)('on %s', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;
  let deviceKey: string;
  const first = secretValue('db-password');
  const rotated = secretValue('db-password');
  const undone = secretValue('db-password');
  const broken = secretValue('db-password', 'broken');
  const last = secretValue('db-password');
  const policy = { probationSeconds: 3, reconnectWindowSeconds: 1, limits: 'best-effort' as const };

  const app = (name: string, script: string, annotations: Record<string, string>) => ({
    name,
    image: { id: image.id, name: image.name },
    app: { exec: ['/bin/busybox', 'sh', '-c', script], user: '1000', group: '1001' },
    annotations: Object.entries(annotations).map(([key, value]) => ({ name: `wherry/${key}`, value })),
  });
  const signalled = { secrets: 'db-password:0440', 'secrets-signal': 'SIGHUP' };
  const desired = (secret: SecretValue, overrides: Partial<DesiredState> = {}): DesiredState =>
    scene.desired(
      [
        {
          name: 'shop',
          image,
          manifest: {
            apps: [
              app('reader', reads, signalled),
              app('deaf', deaf, signalled),
              app('other', reads, { secrets: 'db-password' }),
              app('plain', deaf, {}),
            ],
          },
        },
        // The first process of a PID namespace, for which the kernel drops the signal.
        { name: 'lone', image, manifest: { apps: [app('main', deaf, signalled)] } },
      ],
      {
        secrets: [{ name: secret.name, digest: secretDigest(secret) }],
        policy,
        ...overrides,
      },
    );
  const send = async (state: DesiredState, ...secrets: readonly SecretValue[]): Promise<void> => {
    const { payload, signatures } = decodeEnvelope(await scene.sign(state));
    await scene.send(await encryptMessage({ payload, signatures, secrets }, [deviceKey]));
  };
  const deploy = async (
    state: DesiredState,
    ...secrets: readonly SecretValue[]
  ): Promise<DeploymentEvent> => {
    await send(state, ...secrets);
    return await scene.answer(state.version);
  };
  const pids = () => appPids(scene.board, 'shop');
  const inReader = async (command: string): Promise<string> =>
    (await scene.board.check(`cd /proc/${(await pids())['reader']}/root && ${command}`)).trim();
  /** Waits until the newest line of the reader is this one. */
  const readerSays = async (line: string): Promise<void> => {
    await scene.board.waitFor('journalctl --no-pager -o cat -n 1 -t reader', ({ stdout }) =>
      stdout.startsWith(line),
    );
  };

  beforeAll(async () => {
    scene = await Scene.start(boardName);
    await scene.board.check('wherry key init');
    deviceKey = await scene.board.check('wherry key show');
    image = await scene.image('busybox', ['/bin/busybox', 'sleep', '100000'], {
      app: { user: '1000', group: '1001' },
    });
  });
  afterAll(() => scene.stop());

  it('[C353] delivers a new value into a running app and signals it, without a restart', async () => {
    expect(await deploy(desired(first), first)).toMatchObject({ outcome: 'committed' });
    await readerSays(`first ${sum(first)}`);
    expect(await inReader('ls -ln run/secrets')).toMatch(/^-r--r----- +1 1000 +1001 .* db-password$/m);
    expect(await inReader('cat /proc/$(echo $PWD | cut -d/ -f3)/mounts')).toMatch(
      / \/run\/secrets ramfs ro,/,
    );
    const before = await pids();
    expect(Object.keys(before).sort()).toEqual(['deaf', 'other', 'plain', 'reader']);
    expect(await deploy(desired(rotated), rotated)).toMatchObject({ outcome: 'committed' });
    await readerSays(`again ${sum(rotated)}`);
    const after = await pids();
    expect(after).toMatchObject({ reader: before['reader'], plain: before['plain'] });
    expect(await inReader('cat run/secrets/db-password')).toBe(rotated.value.toString());
    expect(after['other']).not.toBe(before['other']);
    // Without a handler an app is restarted, neither ended nor left with the old value.
    expect(after['deaf']).toMatch(/^[1-9]/);
    expect(after['deaf']).not.toBe(before['deaf']);
    const restarted = await scene.board.check('journalctl --no-pager -o cat -t wherry-secrets');
    expect(
      restarted
        .replaceAll(/\.[0-9a-f]{8}/g, '')
        .split('\n')
        .sort(),
    ).toEqual([
      '',
      'wherry-pod-lone-main.service has no handler for signal 1 and is restarted',
      'wherry-pod-shop-deaf.service has no handler for signal 1 and is restarted',
    ]);
    expect(await scene.board.check("systemctl show -P NRestarts 'wherry-pod-*.service'")).not.toMatch(
      /[1-9]/,
    );
    const units = await scene.board.check('cd /etc/systemd/system; ls -d wherry-secrets-* | grep -c reader');
    expect(units.trim()).toBe('1');
  });

  it('[C353] lets nobody on the device but root and the app read a delivered value', async () => {
    const looks = await scene.board.run(
      'setpriv --reuid=1000 --regid=1001 --clear-groups sh -c "ls /run/wherry/secrets /run/wherry/secrets/*/reader"',
    );
    expect(looks.status).not.toBe(0);
    expect(await scene.board.check('findmnt -no FSTYPE /run/wherry/secrets')).toBe('ramfs\n');
  });

  it('[C354] brings the old value back into the running app when the version fails', async () => {
    const before = await pids();
    // Another pod fails in the probation, after the signal.
    const failing = scene.desired([
      ...[{ name: 'bad', image, manifest: { apps: [app('main', 'exit 1', {})] } }],
    ]);
    const state = desired(undone);
    const both = { ...state, pods: [...state.pods, ...failing.pods] };
    expect(await deploy(both, undone)).toMatchObject({ outcome: 'rolled-back', code: 'probation-failed' });
    await readerSays(`again ${sum(rotated)}`);
    const said = await scene.board.check('journalctl --no-pager -o cat -n 2 -t reader');
    expect(said).toMatch(new RegExp(`^again ${sum(undone)} .*\nagain ${sum(rotated)} `));
    expect(await inReader('cat run/secrets/db-password')).toBe(rotated.value.toString());
    expect(await pids()).toMatchObject({ reader: before['reader'], plain: before['plain'] });
  });

  it('[C354] rolls a value back under which the app ends', async () => {
    const rolledBack = { outcome: 'rolled-back', code: 'probation-failed' };
    expect(await deploy(desired(broken), broken)).toMatchObject(rolledBack);
    await readerSays(`first ${sum(rotated)}`);
    expect(await inReader('cat run/secrets/db-password')).toBe(rotated.value.toString());
  });

  it('[C355] starts with the committed values at boot, without wherryd, also in a probation', async () => {
    const probing = desired(last, { policy: { ...policy, probationSeconds: 900 } });
    await send(probing, last);
    await readerSays(`again ${sum(last)}`);
    // A shutdown cancels starts, which ends an activation.
    await scene.report(
      ({ deployment }) => deployment?.version === probing.version && deployment.phase === 'probation',
    );
    await scene.board.check('systemctl disable wherryd; sync');
    await scene.board.reboot();
    await readerSays(`first ${sum(rotated)}`);
    expect(await scene.board.run('systemctl is-active wherryd')).toMatchObject({ stdout: 'inactive\n' });
    expect(await inReader('cat run/secrets/db-password')).toBe(rotated.value.toString());
    // The deployment continues, in the app that the boot has started.
    const { reader } = await pids();
    await scene.board.check('systemctl enable --now wherryd');
    await readerSays(`again ${sum(last)}`);
    expect(await pids()).toMatchObject({ reader });
    expect(await deploy(desired(last), last)).toMatchObject({ outcome: 'committed' });
    expect(await pids()).toMatchObject({ reader });
  });

  it('[C353] gives a new value to an app that waits for a restart, at its end', async () => {
    const failing = `dir=/run/systemd/system/$(cd /etc/systemd/system; ls -d wherry-pod-shop.*-reader.service).d`;
    await scene.board.check(
      `${failing}; mkdir -p "$dir"; printf '[Service]\\nExecStartPre=/bin/false\\n' >"$dir/fail.conf"
      systemctl daemon-reload; systemctl kill --kill-whom=main -s KILL 'wherry-pod-shop.*-reader.service'`,
    );
    await scene.board.waitFor(
      "systemctl show -P SubState 'wherry-pod-shop.*-reader.service'",
      ({ stdout }) => stdout === 'auto-restart\n',
    );
    const next = desired(rotated);
    await send(next, rotated);
    await scene.board.waitFor(
      'cat /run/wherry/secrets/*/reader/db-password',
      ({ stdout }) => stdout === rotated.value.toString(),
    );
    await scene.board.check(`${failing}; rm -r "$dir"; systemctl daemon-reload`);
    await readerSays(`first ${sum(rotated)}`);
    expect(await scene.answer(next.version)).toMatchObject({ outcome: 'committed' });
  });

  it('[C354] keeps the values of a running app when new ones cannot be decrypted', async () => {
    const { reader } = await pids();
    await scene.board.check('wherry lock add wait --reason test');
    const next = desired(undone);
    await send(next, undone);
    await scene.report(({ deployment }) => deployment?.phase === 'wait');
    await scene.board.check(
      `echo damaged >/var/lib/wherry/secrets/${secretDigest(undone)}.cred; wherry lock rm wait`,
    );
    expect(await scene.answer(next.version)).toMatchObject({
      ...{ outcome: 'rolled-back', code: 'activation-failed' },
      message: expect.stringMatching(/the secrets of app .* were not delivered \(failed\)/) as string,
    });
    expect(await inReader('cat run/secrets/db-password')).toBe(rotated.value.toString());
    expect(await pids()).toMatchObject({ reader });
  });

  it('[C353] gives a new value to an app that was stopped, at its next start', async () => {
    await scene.board.check("systemctl stop 'wherry-pod-shop.*-reader.service'");
    expect(await deploy(desired(first), first)).toMatchObject({ outcome: 'committed' });
    await readerSays(`first ${sum(first)}`);
  });

  it('[C155] leaves no value anywhere else, and none in memory without its pod', async () => {
    await expectNowhere(scene, [first, rotated, undone, broken, last]);
    const state = scene.desired([{ name: 'plain', image }]);
    expect(await deploy(state)).toMatchObject({ outcome: 'committed' });
    const left = await scene.board.run(
      "findmnt /run/wherry/secrets; ls /run/wherry/secrets /etc/systemd/system | grep -E 'secrets-|-secrets|^[0-9a-f]{8}-'; systemctl list-units --all --plain --no-legend 'wherry-secrets-*' run-wherry-secrets.mount",
    );
    expect(left.stdout).toBe('');
  }, 1_200_000);
});
