import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { oneBoard } from './board-choice.ts';
import { busybox, busyboxScene } from './busybox-scene.ts';
import type { BuiltImage, Scene } from './scene.ts';

/**
 * The app is ready once the file READY exists. It sends keep-alives until /data/hang exists, which
 * it removes when it starts.
 */
const program = `
sub say { send($socket, $_[0], 0, pack("S a108", 1, $ENV{NOTIFY_SOCKET})) or die "send: $!" }
socket($socket, 1, 2, 0) or die "socket: $!";
unlink "/data/hang";
until (-e $ENV{READY}) { select(undef, undef, undef, 0.1) }
say("READY=1\\nSTATUS=at work");
while (1) { say("WATCHDOG=1") unless -e "/data/hang"; select(undef, undef, undef, 0.1) }
`;

/** The board's Perl, because busybox has no program for such a socket. */
const exec = [
  ...[busybox, 'sh', '-c'],
  'exec /host/lib*/ld-linux*.so.* --library-path "$(echo /host/usr/lib/*-linux-gnu*)" /host/usr/bin/perl -e "$1"',
  ...['sh', program],
];

/** Apps that notify the real systemd. */
describe.each(oneBoard)('an app that supports sd_notify on %s', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;

  beforeAll(async () => {
    ({ scene, image } = await busyboxScene(boardName, {
      config: '[allow]\nvolumes = ["/srv", "/:ro"]\n',
    }));
    await scene.board.check('mkdir -p /srv/data && chown 33:33 /srv/data');
  });
  afterAll(() => scene.stop());

  const set = (annotations: Readonly<Record<string, string>>, ready = '/data/ready') =>
    scene.desired([
      {
        ...{ name: 'web', image },
        manifest: {
          volumes: [
            { name: 'data', kind: 'host', source: '/srv/data' },
            { name: 'host', kind: 'host', source: '/', readOnly: true, recursive: false },
          ],
          apps: [
            {
              ...{ name: 'main', image: { id: image.id, name: image.name }, readOnlyRootFS: true },
              app: {
                ...{ exec, user: '33', group: '33', environment: [{ name: 'READY', value: ready }] },
                mountPoints: [
                  { name: 'data', path: '/data' },
                  { name: 'host', path: '/host' },
                ],
              },
              annotations: Object.entries({
                'appc.io/executor/supports-systemd-notify': 'true',
                ...annotations,
              }).map(([name, value]) => ({ name, value })),
            },
          ],
        },
      },
    ]);
  const unit = `"$(cd /etc/systemd/system; ls -d wherry-pod-web.*-main.service)"`;
  const show = async (property: string): Promise<string> =>
    (await scene.board.check(`systemctl show -P ${property} ${unit}`)).trim();

  it('is started once it reports READY=1, and not before [C166]', async () => {
    const desired = set({});
    await scene.send(await scene.sign(desired));
    // The app runs, and systemd follows it.
    await scene.board.waitFor(`grep -q ld-linux /proc/$(systemctl show -P MainPID ${unit})/comm`);
    expect(await show('ActiveState')).toBe('activating');
    const pid = await show('MainPID');
    await scene.board.check('touch /srv/data/ready');
    expect(await scene.answer(desired.version)).toMatchObject({ outcome: 'committed' });
    expect(await show('StatusText')).toBe('at work');
    expect(await show('MainPID')).toBe(pid);
  });

  it('is killed and restarted when its keep-alives stop for too long [C167]', async () => {
    // Longer than a busy machine delays an app's next keep-alive.
    expect(await scene.deploy(set({ 'wherry/watchdog': '20' }))).toMatchObject({ outcome: 'committed' });
    const pid = await show('MainPID');
    const restarts = await show('NRestarts');
    await scene.board.check('touch /srv/data/hang');
    await scene.board.waitFor(
      `[ "$(systemctl show -P NRestarts ${unit})" -gt ${restarts} ] && systemctl is-active ${unit}`,
    );
    expect(await show('MainPID')).not.toBe(pid);
    expect(await scene.board.journal(`-u ${unit} -o cat`)).toMatch(/watchdog timeout/i);
  });

  it('is rolled back when it is not ready in time [C166]', async () => {
    const never = set({ 'wherry/start-timeout': '3', 'wherry/stop-timeout': '1' }, '/data/never');
    expect(await scene.deploy(never)).toMatchObject({
      outcome: 'rolled-back',
      code: 'activation-failed',
      message: expect.stringContaining('did not start (timeout)') as string,
    });
  });

  it('does not keep the device from commands during a start of any length [C260]', async () => {
    await scene.board.check('touch /srv/data/ready');
    const patient = set({ 'wherry/start-timeout': '86400', 'wherry/stop-timeout': '1' });
    expect(await scene.deploy(patient)).toMatchObject({ outcome: 'committed' });
    await scene.board.check(
      `rm /srv/data/ready; systemctl stop wherryd ${unit}; systemctl start --no-block wherryd`,
    );
    await scene.board.waitFor(`[ "$(systemctl show -P ActiveState ${unit})" = activating ]`);
    await scene.board.check('touch /srv/data/now');
    expect(await scene.deploy(set({}, '/data/now'))).toMatchObject({ outcome: 'committed' });
    await scene.board.waitFor('systemctl is-active wherryd');
  });

  it('does not keep the device from commands during a restore of any length [C253]', async () => {
    await scene.board.check('touch /srv/data/ready');
    const patient = set({ 'wherry/start-timeout': '86400', 'wherry/stop-timeout': '1' });
    expect(await scene.deploy(patient)).toMatchObject({ outcome: 'committed' });
    const restored = (await scene.board.check(`echo ${unit}`)).trim();
    await scene.board.check('rm /srv/data/ready');
    const never = set({ 'wherry/start-timeout': '3', 'wherry/stop-timeout': '1' }, '/data/never');
    await scene.send(await scene.sign(never));
    await scene.board.waitFor(`[ "$(systemctl show -P ActiveState ${restored})" = activating ]`);
    await scene.board.check('touch /srv/data/now');
    expect(await scene.deploy(set({}, '/data/now'))).toMatchObject({ outcome: 'committed' });
    expect(await scene.answer(never.version)).toMatchObject({
      ...{ outcome: 'rolled-back', code: 'activation-failed' },
    });
  });
});
