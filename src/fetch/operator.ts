/** The door to what an operator does and a device never: finding images and keys by name. See `index.ts` for the rest. */
export { Credentials } from '../wire/http/index.ts';
export { parseCredentials } from '../wire/http/index.ts';
export {
  discover,
  type Discovered,
  type DiscoveryOptions,
  type Endpoint,
} from '../operator/discovery/index.ts';
export { fetchSmall } from '../wire/http/index.ts';
export { fetchImage, type FetchedImage, type FetchImageOptions } from '../operator/discovery/index.ts';
export { openHttpClient, type HttpClient } from '../wire/http/index.ts';
export { proxiesOfEnvironment } from '../wire/http/index.ts';
