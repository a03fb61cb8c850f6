/**
 * Trees of files in memory: overlaying images, path whitelists, rendering. It reads archives and
 * mounted images and writes only to the stream that it is given.
 */
export { layImages } from './lay-images.ts';
export { renderMounted } from './render-mounted.ts';
export {
  type Directory,
  emptyTree,
  impliedMeta,
  type Leaf,
  type Meta,
  overlay,
  sourceEntries,
  TreeOfArchive,
} from './rendered-tree.ts';
export {
  type Addition,
  type LeaveOut,
  type LeftOut,
  readSourceTree,
  type SourceEntry,
} from './source-tree.ts';
