/** The door to what an operator does and a device never: finding images and keys by name. See `index.ts` for the rest. */
export { parseCredentials, type Authorize } from './credentials.ts';
export { discover, type Discovered, type DiscoveryOptions, type Endpoint } from './discovery.ts';
export { fetchSmall } from './download.ts';
export { fetchImage, type FetchedImage, type FetchImageOptions } from './fetch-image.ts';
export { openHttpClient, type HttpClient } from './http-client.ts';
