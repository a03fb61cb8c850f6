/** The door to downloading, for the pull unit and the tools; see `index.ts` for why it is apart. */
export { cappedPieceBytes } from '../wire/http/index.ts';
export { Credentials } from '../wire/http/index.ts';
export { Download, type DownloadPatience, type DownloadRequest, type Source } from '../wire/http/index.ts';
export { fetchSmall } from '../wire/http/index.ts';
export { openHttpClient, type HttpClient, type HttpClientOptions } from '../wire/http/index.ts';
export { proxiesOfEnvironment, proxyVariables } from '../wire/http/index.ts';
export { pull, signatureAddress, type PullPorts } from '../device/jobs/pull/index.ts';
