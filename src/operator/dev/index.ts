/**
 * The broker and the image server for trying things out on a workstation.
 */
export { type EmbeddedBroker, startEmbeddedBroker } from './embedded-broker.ts';
export { type Access, type ImageServer, startImageServer } from './image-server.ts';
