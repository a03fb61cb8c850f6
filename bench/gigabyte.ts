import { gigabyteImage } from './bulk-image.ts';
import type { Group } from './bench.ts';
import { memoryOfPull } from './pull.ts';

/** Time limit of the pull on an emulated ARMv7 board, in milliseconds. */
const timeoutMs = 3_600_000;

/**
 * The memory of a pull must not grow with the image: on ARMv7, `--board virt-armv7 --only
 * gigabyte`.
 */
export const gigabyteGroup: Group = {
  about: 'peak memory of the pull of an image of 1.07 GB',
  onlyByName: true,
  measure: async (bench) => {
    const scene = await bench.scene();
    bench.say('building the image');
    const image = await gigabyteImage(scene, scene.board.name);
    const { held, withCache, rss, seconds } = await memoryOfPull(bench, scene, image, timeoutMs);
    const what = `pull of ${Math.round(image.tarSizeBytes / 1e6)} MB in ${Math.round(image.sizeBytes / 1e6)} MB of gzip on ${scene.board.name}`;
    return [
      { name: `peak memory of the unit, MB; ${what}`, ours: held, bound: 80 },
      { name: 'the same with the page cache that it filled, MB', ours: withCache },
      { name: 'the same: peak RSS of its processes, shared pages counted twice, MB', ours: rss },
      { name: 'the same: time, watched five times a second, s', ours: seconds },
    ];
  },
};
