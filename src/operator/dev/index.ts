/**
 * The broker and the image server for trying things out on a workstation.
 */
export { startEmbeddedBroker } from './embedded-broker.ts';
export { type Access, startImageServer } from './image-server.ts';
export { urlHost } from './listen.ts';
