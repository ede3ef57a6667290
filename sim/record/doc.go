// Package record reads recordings of what a real kernel did with connections, event by event, and plays the IPVS ones
// against the model. FORMAT.md beside this file describes the format, so that anyone can record their own kernel.
//
// The player stands in for the network around a director: clients that shake hands and close, servers that answer, packets
// that pass the director in one or both directions. Whatever the kernel decided is predicted by datapath/ipvs and compared;
// events in which the kernel drew at random are judged by the exact distribution of each pick given the state before it.
package record
