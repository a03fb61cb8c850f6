import type { ImageId } from '../../../src/image/appc/index.ts';
import type { TreeId } from '../../../src/device/store/index.ts';

const hex = (word: string): string => Buffer.from(word).toString('hex');

/** The image ID for a word, for tests. */
export const imageIdOf = (word: string): ImageId => `sha512-${hex(word).padEnd(128, '0')}` as ImageId;

/** The ID of a rendered tree for a word, for tests. */
export const treeIdOf = (word: string): TreeId => `rendered-${hex(word).padEnd(64, '0')}`;
