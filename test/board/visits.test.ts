import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { decodeTelemetry } from '../../src/wire/report/index.ts';
import { oneBoard } from './board-choice.ts';
import { type BuiltImage, Scene } from './scene.ts';

const timer = 'connection = "timer"\ninterval_seconds = 10\n';

/** A timer starts wherryd. Between two visits to the broker it has no process. */
describe.each(oneBoard)('a device that visits its broker, on %s', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;

  beforeAll(async () => {
    scene = await Scene.start(boardName, { config: `${timer}[telemetry]\ninterval_seconds = 10\n` });
    image = await scene.image('busybox', ['/usr/bin/busybox', 'sleep', '1000000']);
  });
  afterAll(() => scene.stop());

  const show = async (unit: string, property: string): Promise<string> =>
    (await scene.board.check(`systemctl show -P ${property} '${unit}'`)).trim();
  /** How often wherryd ended a visit since the board started. */
  const visits = async (): Promise<number> =>
    (await scene.board.journal('-u wherryd -o cat')).split('the visit to the broker is over').length - 1;
  const visited = (count: number): Promise<void> =>
    vi.waitFor(
      async () => {
        expect(await visits()).toBeGreaterThanOrEqual(count);
        expect(await show('wherryd.service', 'ActiveState')).toBe('inactive');
      },
      { timeout: 180_000, interval: 500 },
    );

  it('[C159] commits what a visit finds, and leaves the pod alone between visits', async () => {
    await visited(1);
    expect(await show('wherryd.service', 'Result')).toBe('success');
    expect(await show('wherryd.timer', 'ActiveState')).toBe('active');
    await vi.waitFor(() => expect(scene.presence?.up).toBe(false), { timeout: 180_000 });

    const event = await scene.deploy(scene.desired([{ name: 'visited', image }]));
    expect(event, JSON.stringify(event)).toMatchObject({ outcome: 'committed' });
    const report = await scene.report(({ currentVersion }) => currentVersion === event.version);
    expect(report.deployment).toEqual({ version: event.version, phase: 'committed' });
    const before = await visits();
    await visited(before + 1);
    // One reading at a moment without wherryd: it has no process, and the app runs.
    const look = `systemctl is-active wherryd; pgrep -fc 'wherryd[.]js'; pgrep -fc 'busybox sleep[ ]1000000'`;
    await vi.waitFor(async () => expect((await scene.board.run(look)).stdout).toBe('inactive\n0\n1\n'), {
      timeout: 180_000,
      interval: 500,
    });
    const app = (await scene.board.check(`pgrep -f 'busybox sleep[ ]1000000'`)).trim();
    await visited((await visits()) + 1);
    expect((await scene.board.check(`pgrep -f 'busybox sleep[ ]1000000'`)).trim()).toBe(app);
  });

  it('[C190] sends the numbers of the device and of its app from its confinement', async () => {
    const newest = () =>
      scene.traffic
        .flatMap((payload) => {
          try {
            return [decodeTelemetry(payload)];
          } catch {
            return []; // another message
          }
        })
        .at(-1);
    await expect.poll(newest).toMatchObject({
      device: {
        memoryTotalBytes: expect.any(Number) as number,
        diskTotalBytes: expect.any(Number) as number,
        load100: expect.any(Number) as number,
      },
      apps: [{ pod: 'visited', app: 'main', restarts: 0, oomKills: 0 }],
    });
  });

  it('[C159] keeps its session when the configuration disables visits again', async () => {
    await scene.configure('');
    await vi.waitFor(async () => expect(await show('wherryd.timer', 'ActiveState')).toBe('inactive'), {
      timeout: 180_000,
      interval: 500,
    });
    expect(await show('wherryd.service', 'ActiveState')).toBe('active');
    expect((await scene.board.run('ls /etc/systemd/system/wherryd.timer')).status).not.toBe(0);
  });
});
