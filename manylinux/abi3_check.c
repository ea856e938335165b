/* Fails to compile where abi3.h disagrees with CPython's own headers (`make lint` compiles it, nothing links it). */
#define Py_LIMITED_API 0x030A0000
#include <Python.h>

/* Macros of some versions; a prototype after #undef redeclares the function itself, and a difference is an error. */
#undef PY_VERSION_HEX
#undef PyArg_ParseTupleAndKeywords
#undef Py_BuildValue
#define PyArg_ParseTupleAndKeywords keyword_list_gained_a_const_in_3_13
#define GLOWPLUG_ABI3_CHECK
#include "abi3.h"

#define WORDS(n) ((n) * sizeof(void *))
_Static_assert(sizeof(PyObject) == WORDS(2), "PyObject");
_Static_assert(sizeof(PyMethodDef) == WORDS(4), "PyMethodDef");
_Static_assert(offsetof(PyMethodDef, ml_meth) == WORDS(1), "ml_meth");
_Static_assert(offsetof(PyMethodDef, ml_flags) == WORDS(2), "ml_flags");
_Static_assert(offsetof(PyMethodDef, ml_doc) == WORDS(3), "ml_doc");
_Static_assert(sizeof(PyModuleDef) == WORDS(13), "PyModuleDef");
_Static_assert(offsetof(PyModuleDef, m_name) == WORDS(5), "m_name");
_Static_assert(offsetof(PyModuleDef, m_size) == WORDS(7), "m_size");
_Static_assert(offsetof(PyModuleDef, m_methods) == WORDS(8), "m_methods");
_Static_assert(METH_VARARGS == 1 && METH_KEYWORDS == 2 && PYTHON_ABI_VERSION == 3, "constants");
