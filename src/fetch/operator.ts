/** The door to what an operator does and a device never: finding images and keys by name. See `index.ts` for the rest. */
export { Credentials } from './credentials.ts';
export { parseCredentials } from './credentials-file.ts';
export { discover, type Discovered, type DiscoveryOptions, type Endpoint } from './discovery.ts';
export { fetchSmall } from './fetch-small.ts';
export { fetchImage, type FetchedImage, type FetchImageOptions } from './fetch-image.ts';
export { openHttpClient, type HttpClient } from './http-client.ts';
export { proxiesOfEnvironment } from './proxies.ts';
