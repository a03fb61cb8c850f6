import type { Group } from './bench.ts';

/** Flash wears out by what is written while nothing happens. */
export const idleGroup: Group = {
  about: 'bytes written to the disk while nothing happens',
  measure: async ({ scene: getScene, idleMinutes, say }) => {
    const scene = await getScene();
    const { board } = scene;
    const image = await scene.image('busybox', ['/usr/bin/sleep', '1000000'], { name: 'example.com/idle' });
    await scene.deploy(scene.desired(['one', 'two', 'three'].map((name) => ({ name, image }))));
    // What a deployment leaves to be written late is its own and not the idle board's.
    await board.check('sync; sleep 60; sync; sleep 10', { timeoutMs: 180_000 });
    say(`watching the disk for ${idleMinutes} minutes`);
    const before = await board.blockStats();
    await new Promise((resolve) => setTimeout(resolve, idleMinutes * 60_000));
    const after = await board.blockStats();
    return [
      {
        name: `written to disk at idle with 3 pods in ${idleMinutes} minutes, bytes`,
        ours: after.writtenBytes - before.writtenBytes,
        bound: 0,
      },
    ];
  },
};
