import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { MqttTransport } from '../../src/wire/mqtt/index.ts';
import { clientIdentifier } from '../../src/wire/report/index.ts';
import { encodeCbor } from '../../src/core/cbor/index.ts';
import { encodeDesiredState } from '../../src/wire/trust/desired-state-codec.ts';
import { generateKey } from '../../src/wire/trust/sign.ts';
import type { DesiredState } from '../../src/wire/trust/index.ts';
import { fasterClock } from '../support/faster-clock.ts';
import { oneBoard } from './board-choice.ts';
import { type BuiltImage, device, fleet, Scene } from './scene.ts';
import { SeededRandom } from './soak/random.ts';

/** Only `npm run soak:commands` runs this test, with 10,000 and 1,000. A hundred take a minute. */
const isWanted = process.env['WHERRY_SOAK_COMMANDS'] !== undefined;
const commands = Number(process.env['WHERRY_SOAK_COMMANDS'] ?? 100);
const reconnects = Number(process.env['WHERRY_SOAK_RECONNECTS'] ?? 6);
/** Commands that warm wherryd up before memory is measured. */
const warmUp = 50;

/**
 * How much faster the clock of wherryd runs. A session counts after a minute, and wherryd examines
 * one bad command every eight seconds, so the full numbers would take a day.
 */
const speed = 60;

interface Look {
  readonly privateBytes: number;
  readonly writtenBytes: number;
}

describe.runIf(isWanted && fasterClock !== undefined).each(oneBoard)(
  'commands and reconnects on %s',
  (boardName) => {
    let scene: Scene;
    let image: BuiltImage;
    let stranger: Awaited<ReturnType<typeof generateKey>>;
    let pid = '';
    const random = new SeededRandom(1);
    /** The newest command that the device has taken. */
    let newest: Uint8Array;
    let deployments = 0;
    /** The bytes that deployments wrote. */
    let deployedBytes = 0;
    const sent = new Map<string, number>();

    beforeAll(async () => {
      scene = await Scene.start(boardName);
      stranger = await generateKey({ name: 'stranger' });
      await scene.board.copyIn(fasterClock ?? '', '/usr/lib/libfaketimeMT.so.1');
      // The kernel updates the access time when a directory is read after a change (mount(8),
      // relatime), and counts that as a write by the reader. The reader is wherryd, in its nightly
      // collection.
      await scene.board.check(
        `mount -o remount,bind,noatime "$(findmnt -n -o TARGET -T /var/lib/wherry)"
       mkdir -p /etc/systemd/system/wherryd.service.d
       printf '[Service]\\nEnvironment=LD_PRELOAD=/usr/lib/libfaketimeMT.so.1 "FAKETIME=+0 x${speed}" FAKETIME_DISABLE_SHM=1\\n' >/etc/systemd/system/wherryd.service.d/clock.conf
       systemctl daemon-reload; systemctl restart wherryd`,
        { timeoutMs: 120_000 },
      );
      image = await scene.image('busybox', ['/usr/bin/busybox', 'sleep', '1000000']);
      await deploy();
      pid = (await scene.board.check('systemctl show -P MainPID wherryd')).trim();
    });
    afterAll(() => scene.stop());

    const desired = (): DesiredState => {
      const state = scene.desired([{ name: 'kept', image }]);
      return {
        ...state,
        expires: state.issued + 30 * 86_400,
        policy: { ...state.policy, probationSeconds: 1 },
      };
    };
    const written = async (): Promise<number> =>
      Number(await scene.board.check(`awk '$1 == "write_bytes:" { print $2 }' /proc/${pid}/io`));
    const deploy = async (): Promise<void> => {
      const before = pid === '' ? 0 : await written();
      const state = desired();
      newest = await scene.sign(state);
      await scene.send(newest);
      expect(await scene.answer(state.version)).toMatchObject({ outcome: 'committed' });
      await scene.report(({ deployment }) => deployment?.phase === 'committed');
      deployments += 1;
      if (pid !== '') deployedBytes += (await written()) - before;
    };
    /**
     * What the kernel counts once wherryd is idle: the least of ten readings. Clean pages belong to
     * files, and are private only while no other process maps them.
     */
    const look = async (): Promise<Look> => {
      const output = await scene.board.check(
        `for i in 1 2 3 4 5 6 7 8 9 10; do
         awk '/^Private_Dirty:/ { sum += $2 } END { print sum * 1024 }' /proc/${pid}/smaps_rollup; sleep 1
       done`,
        { timeoutMs: 60_000 },
      );
      return {
        privateBytes: Math.min(...output.trim().split('\n').map(Number)),
        writtenBytes: (await written()) - deployedBytes,
      };
    };
    const isReceived = (count: number): Promise<void> =>
      vi.waitFor(() => expect(scene.acknowledged).toBeGreaterThanOrEqual(count), {
        timeout: 60_000,
        interval: 10,
      });

    /**
     * wherryd refuses most of these without an examination, as in a flood. Each of the others needs
     * a process.
     */
    const kinds = {
      noise: () => Uint8Array.from({ length: 1 + random.below(2000) }, () => random.below(256)),
      unsigned: () => encodeCbor({ format: 1, payload: encodeDesiredState(desired()), signatures: [] }),
      'signed by a stranger': async () => await scene.sign(desired(), stranger),
      'known version': async () => await scene.sign({ ...desired(), version: 1, pods: [], images: [] }),
      'sent again': () => newest,
    };
    const kindOf = (number: number): keyof typeof kinds => {
      const share = number % 20;
      if (share < 8) return 'noise';
      if (share < 13) return 'unsigned';
      if (share < 17) return 'sent again';
      return share < 19 ? 'known version' : 'signed by a stranger';
    };

    const send = async (count: number): Promise<void> => {
      for (let number = 0; number < count; number++) {
        const kind = kindOf(number);
        const before = scene.acknowledged;
        await scene.send(await kinds[kind]());
        await isReceived(before + 1);
        sent.set(kind, (sent.get(kind) ?? 0) + 1);
        if (number % 500 === 499) await deploy();
      }
      // The broker retains the newest command again, as after each wave of a real flood.
      await scene.send(newest);
    };

    /**
     * Ends the connection in one of three ways, and waits until the device has reconnected and
     * reports.
     */
    const reconnect = async (number: number): Promise<void> => {
      const reports = scene.reports.length;
      const connection = scene.presence?.connection ?? 0;
      if (number % 3 === 1) {
        const transport = new MqttTransport({ url: scene.brokerUrl, version: 4 });
        const other = await transport.connect({
          ...{ clientId: clientIdentifier(fleet, device), keepaliveSeconds: 60, onMessage: () => undefined },
        });
        await other.close();
      } else if (number % 30 === 0) {
        await scene.stopBroker();
        await scene.startBroker();
        await scene.send(newest);
      } else scene.cutConnections();
      await vi.waitFor(
        () => {
          expect(scene.presence).toMatchObject({ up: true });
          expect(scene.presence?.connection).toBeGreaterThan(connection);
          expect(scene.reports.length).toBeGreaterThan(reports);
        },
        { timeout: 120_000, interval: 10 },
      );
      // After a session of one minute of wherryd's clock, the next delay is the first one again.
      await new Promise((resolve) => setTimeout(resolve, 61_000 / speed));
    };

    it(
      `leave memory and disk as they were, ${commands} and ${reconnects} of them`,
      async () => {
        await send(warmUp);
        await deploy();
        for (let number = 0; number < 3; number++) await reconnect(number);
        sent.clear();
        deployments = 0;
        const start = await look();
        // wherryd frees memory of its start only later, so growth is measured from the least.
        let leastBytes = start.privateBytes;
        const began = performance.now();
        const say = async (what: string): Promise<void> => {
          const { privateBytes, writtenBytes } = await look();
          leastBytes = Math.min(leastBytes, privateBytes);
          const grown = ((privateBytes - leastBytes) / 1e6).toFixed(2);
          process.stdout.write(
            `soak: ${what}, ${Math.round((performance.now() - began) / 1000)} s: private memory ${(privateBytes / 1e6).toFixed(2)} MB (${grown} above the least), ${writtenBytes - start.writtenBytes} bytes written besides ${deployments} deployments (${deployedBytes})\n`,
          );
        };
        for (let done = 0; done < commands; done += 1000) await send(Math.min(1000, commands - done));
        await say([...sent].map(([kind, count]) => `${count} ${kind}`).join(', '));
        for (let number = 0; number < reconnects; number++) {
          await reconnect(number);
          if (number % 250 === 249) await say(`${number + 1} reconnects`);
        }
        await deploy();
        await say(`${reconnects} reconnects`);
        const end = await look();
        expect((await scene.board.check('systemctl show -P MainPID wherryd')).trim()).toBe(pid);
        expect(end.writtenBytes).toBe(start.writtenBytes);
        expect(end.privateBytes - leastBytes).toBeLessThan(1e6);
      },
      Math.max(300_000, commands * 1000 + reconnects * 10_000),
    );
  },
);
