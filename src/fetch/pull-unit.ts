/** The door to downloading, for the pull unit and the tools; see `index.ts` for why it is apart. */
export { cappedPieceBytes } from './bandwidth-cap.ts';
export { Credentials } from './credentials.ts';
export { Download, type DownloadPatience, type DownloadRequest, type Source } from './download.ts';
export { fetchSmall } from './fetch-small.ts';
export { openHttpClient, type HttpClient, type HttpClientOptions } from './http-client.ts';
export { proxiesOfEnvironment, proxyVariables } from './proxies.ts';
export { pull, signatureAddress, type PullPorts } from './pull.ts';
