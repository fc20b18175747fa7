// Package notifications takes the pushes that registries report. It
// authenticates the sender, bounds what it reads, and hands pushes to a Sink;
// it contacts nobody. Each registry's format is decoded in a package of its
// own below this one.
package notifications
