/**
 * Rendering one tree of several images in `wherry-render@.service`: job and result files, and
 * starting it.
 */
export { renderInUnit } from './render-unit.ts';
export { type Rendering, renderingId } from './rendering.ts';
export { renderUnit } from './wherry-render.ts';
