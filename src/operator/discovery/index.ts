/**
 * Finding images and keys by name (discovery.md), and fetching them. Only an operator does this;
 * devices receive addresses.
 */
export { discover, type Discovered } from './discovery.ts';
export { type FetchedImage, fetchImage } from './fetch-image.ts';
