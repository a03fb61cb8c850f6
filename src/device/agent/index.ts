/**
 * `wherryd` itself, assembled from its parts. Its program is the entry; other folders may only
 * parse its configuration file.
 */
export { parseConfig } from './config.ts';
