import { resolve } from 'node:path';
import { allArchs, buildPackages } from '../cross/index.ts';
import type { Group } from './bench.ts';

/** The download size of wherry for a device. */
export const packageGroup: Group = {
  about: 'size of the .deb of each architecture',
  measure: async ({ say }) => {
    say('building the packages');
    const root = resolve(import.meta.dirname, '..');
    const built = await buildPackages({ root, archs: allArchs, operatorArchs: allArchs });
    return [
      ...built.packages.map(({ arch, sizeBytes }) => ({
        name: `size of the .deb for ${arch}, MB`,
        ours: sizeBytes / 1e6,
        bound: 0.4,
      })),
      ...built.operators.map(({ arch, sizeBytes }) => ({
        name: `size of the .deb for operators on ${arch}, MB`,
        ours: sizeBytes / 1e6,
      })),
    ];
  },
};
