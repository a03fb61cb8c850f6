import { numberFrom, type Group } from './bench.ts';

/** Idle writes wear out flash, and idle processor time drains a battery. */
export const idleGroup: Group = {
  about: 'bytes written to the disk, and processor time, at idle',
  measure: async ({ scene: getScene, idleMinutes, say }) => {
    const scene = await getScene();
    const { board } = scene;
    const image = await scene.image('busybox', ['/usr/bin/sleep', '1000000'], { name: 'example.com/idle' });
    await scene.deploy(scene.desired(['one', 'two', 'three'].map((name) => ({ name, image }))));
    // Delayed writes of a deployment do not count as writes of the idle board.
    await board.check('sync; sleep 60; sync; sleep 10', { timeoutMs: 180_000 });
    say(`watching the disk for ${idleMinutes} minutes`);
    const hasDisk = board.lacks.disk === undefined;
    const written = async (): Promise<number> => (hasDisk ? (await board.blockStats()).writtenBytes : 0);
    const processor = async (): Promise<number> =>
      await numberFrom(
        board,
        `awk '$1 == "usage_usec" { print $2 / 1e6 }' /sys/fs/cgroup/system.slice/wherryd.service/cpu.stat`,
      );
    const before = { written: await written(), processor: await processor() };
    await new Promise((resolve) => setTimeout(resolve, idleMinutes * 60_000));
    const after = { written: await written(), processor: await processor() };
    const bytes = {
      name: `written to disk at idle with 3 pods in ${idleMinutes} minutes, bytes`,
      ours: after.written - before.written,
      bound: 0,
    };
    const seconds = {
      name: `wherryd idle with 3 pods: processor in ${idleMinutes} minutes, s`,
      ours: after.processor - before.processor,
      bound: 0.2,
    };
    return hasDisk ? [bytes, seconds] : [seconds];
  },
};
