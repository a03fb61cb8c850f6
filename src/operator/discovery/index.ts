/**
 * Finding images and keys by name (discovery.md), and fetching them. Only an operator does this; devices get addresses.
 */
export { discover, type Discovered, type DiscoveryOptions, type Endpoint } from './discovery.ts';
export { type FetchedImage, fetchImage, type FetchImageOptions } from './fetch-image.ts';
