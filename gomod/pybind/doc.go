// Package pybind is the only package that gopy sees: what crosses into Python.
//
// Every function takes one string and returns one string or an error; package
// bridge holds the logic, the ids and the recover that each of them needs.
package pybind
