import { loadBoardConfig } from './board-config.ts';
import { assembleImage } from './rootfs.ts';

/**
 * Assembles one image in a process of its own, which image.ts starts as root or under fakeroot.
 * Arguments: the board's name and the directory for the results.
 */
const [name, dir] = process.argv.slice(2);
if (name === undefined || dir === undefined) throw new Error('usage: assemble.ts BOARD DIRECTORY');
const { config, packages } = loadBoardConfig(name);
if (config.kind === 'emulated') assembleImage(config, packages, dir);
else throw new Error(`${name} is not emulated`);
