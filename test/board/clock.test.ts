import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { createServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { lacksOf } from '../../qemu/index.ts';
import { loopbackCertificate } from '../support/loopback-certificate.ts';
import { itOn, oneBoard } from './board-choice.ts';
import { busybox, busyboxScene } from './busybox-scene.ts';
import type { BuiltImage, Scene } from './scene.ts';

const day = 86_400_000;
const year = 365 * day;

/** What an NTP client does: adjtimex(2) with a small maximum error. */
const markSynchronized = `perl -e '
  my %adjtimex = (aarch64 => 171, armv7l => 124);
  chomp(my $machine = qx(uname -m));
  # modes: ADJ_MAXERROR | ADJ_STATUS; then offset, freq, maxerror, esterror and status
  my $timex = pack("I x![l!] l!4 i x256", 0x14, 0, 0, 0, 0, 0);
  die "$!" if syscall($adjtimex{$machine}, $timex) < 0;'`;

/** A device whose clock is wrong, and is set. */
describe.each(oneBoard)('a device whose clock jumps on %s', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;

  // Without its clock there is nothing to boot it for.
  const hasClock = lacksOf(boardName).clock === undefined;
  beforeAll(async () => {
    if (!hasClock) return;
    ({ scene, image } = await busyboxScene(boardName, {
      config: '[gc]\nschedule = "* * * * *"\n[report]\nschedule = "* * * * *"\n',
    }));
  });
  afterAll(() => (hasClock ? scene.stop() : undefined));

  const resident = () => ({ name: 'resident', image });
  const nightly = () => ({
    ...{ name: 'nightly', image },
    manifest: {
      apps: [
        {
          ...{ name: 'main', image: { id: image.id, name: image.name } },
          app: { exec: [busybox, 'true'], user: '0', group: '0' },
        },
      ],
      annotations: [{ name: 'wherry/schedule', value: '*-*-* 03:00:00 UTC' }],
    },
  });
  /** Processes of the pod that runs and of wherryd. */
  const processes = () =>
    scene.board.check(
      `for unit in wherryd.service $(cd /etc/systemd/system; ls wherry-pod-resident.*-main.service); do systemctl show -P MainPID "$unit"; done`,
    );
  /** Waits until garbage was collected by the schedule of each minute. */
  const collected = async () => {
    const junk = '/var/lib/wherry/partial/junk';
    await scene.board.check(`mkdir ${junk}`);
    await scene.board.waitFor(`test ! -e ${junk}`, undefined, 150_000);
  };
  /** The times at which the nightly pod ran in this boot, as minutes. */
  const runs = async () => {
    const lines = await scene.board.check(
      'journalctl --quiet --output=short-iso UNIT_RESULT= + MESSAGE_ID=39f53479d3a045ac8e11786248231fbf --utc',
    );
    return lines
      .split('\n')
      .filter((line) => line.includes('wherry-run-nightly'))
      .map((line) => line.slice(0, 16));
  };

  itOn(boardName, 'clock')(
    'keeps what runs, and runs its schedules, after each jump [C304] [C308]',
    async () => {
      expect(await scene.deploy(scene.desired([resident(), nightly()]))).toMatchObject({
        outcome: 'committed',
      });
      const before = await processes();
      const now = Date.now();
      for (const time of [now + 10 * year, now]) {
        await scene.board.setClock(new Date(time));
        await collected();
        expect(await processes()).toBe(before);
      }
      await scene.board.check('systemctl restart wherryd');
      expect(await scene.deploy(scene.desired([resident(), nightly()]))).toMatchObject({
        outcome: 'committed',
      });
      const numbers = scene.reports.map(({ seq }) => seq);
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    },
  );

  itOn(boardName, 'clock')('trusts a clock that only the kernel counts as synchronized [C312]', async () => {
    const dropIn = '/run/systemd/system/wherryd.service.d/no-chip.conf';
    const noChip = String.raw`[Service]\nInaccessiblePaths=/sys/class/rtc\n`;
    await scene.board.check(`mkdir -p "$(dirname ${dropIn})"; printf '${noChip}' >${dropIn}
      systemctl daemon-reload; systemctl restart wherryd`);
    const deployExpired = async () => {
      const now = Math.floor(Date.now() / 1000);
      const desired = scene.desired([resident()], { issued: now - 7200, expires: now - 3600 });
      const before = scene.events.length;
      await scene.send(await scene.sign(desired));
      return await scene.eventAfter(before);
    };
    expect(await deployExpired()).toMatchObject({ outcome: 'committed' });
    await scene.board.check(markSynchronized);
    const timeout = 120_000; // wherryd asks again after 30 s
    await expect.poll(deployExpired, { timeout }).toMatchObject({ outcome: 'refused', code: 'expired' });
    await scene.board.check(`rm ${dropIn}; systemctl daemon-reload; systemctl restart wherryd`);
  });

  itOn(boardName, 'clock')('runs a pod by its calendar after a clock that was ahead [C305]', async () => {
    await scene.board.check('sync');
    await scene.board.bootAgain({ hardwareClock: new Date(Date.now() + 10 * year) });
    await scene.board.waitFor("systemctl is-active 'wherry-timer-nightly.*.timer' wherryd.service");
    await scene.board.setClock(new Date());
    const next = async () => {
      const text = await scene.board.check(
        'date -d "$(systemctl show -P NextElapseUSecRealtime $(cd /etc/systemd/system; ls wherry-timer-nightly.*.timer))" +%s',
      );
      return Number(text) * 1000;
    };
    await expect.poll(next).toBeLessThan(Date.now() + 2 * day);
    const night = await next();
    await scene.board.setClock(new Date(night - 2000));
    const minute = new Date(night).toISOString().slice(0, 16);
    await expect.poll(runs).toContain(minute);
    await scene.board.setClock(new Date());
  });

  itOn(boardName, 'clock')('connects by TLS after a boot in 1970 [C259]', async () => {
    const { key, cert } = loopbackCertificate(['broker.test']);
    const { port } = new URL(scene.brokerUrl);
    let handshakes = 0;
    const server = createServer({ key, cert }, (socket) => {
      handshakes += 1;
      const plain = connect(Number(port), '127.0.0.1');
      for (const side of [socket, plain]) side.on('error', () => [socket, plain].map((one) => one.destroy()));
      socket.pipe(plain).pipe(socket);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const tls = (server.address() as AddressInfo).port;
    await scene.board.copyIn(Buffer.from(cert), '/etc/wherry/broker-ca.pem');
    await scene.board.check(`set -e
      echo '10.0.2.2 broker.test' >>/etc/hosts
      sed -i 's|^url = .*|url = "mqtts://broker.test:${tls}"\\nca = "/etc/wherry/broker-ca.pem"|' /etc/wherry/wherry.toml
      systemctl restart wherryd`);
    const desired = scene.desired([resident()]);
    expect(await scene.deploy(desired)).toMatchObject({ outcome: 'committed' });
    // No time source, and nothing from which systemd takes a time.
    await scene.board.check(
      'systemctl mask systemd-timesyncd; rm -f /var/lib/systemd/timesync/clock /usr/lib/clock-epoch; sync',
    );
    expect(handshakes).toBeGreaterThan(0);
    handshakes = 0;
    await scene.board.bootAgain({ hardwareClock: new Date(0) });
    const now = async () => Number(await scene.board.check('date +%s'));
    await expect.poll(now).toBeGreaterThanOrEqual(desired.issued);
    expect(await now()).toBeLessThan(Date.now() / 1000);
    // The clock is not trusted by that: a command from an hour ahead of it is obeyed.
    const ahead = { issued: desired.issued + 3600, expires: desired.issued + 7200 };
    expect(await scene.deploy(scene.desired([resident()], ahead))).toMatchObject({ outcome: 'committed' });
    expect(handshakes).toBeGreaterThan(0);
    server.close();
  });
});
