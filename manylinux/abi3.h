/* The part of CPython's stable ABI that the generated code uses, and no more.
 *
 * Generated files include this in place of <Python.h>, so that
 *   - one .so loads on CPython 3.10 and every later 3.x: nothing outside the limited API of 3.10 can be named;
 *   - a Python without headers can build glowplug, and one architecture can build for another;
 *   - the result does not depend on the version of the Python that builds it.
 * abi3_check.c compares each line with the real headers (`make lint`).
 * Source: https://docs.python.org/3/c-api/stable.html */
#ifndef GLOWPLUG_ABI3_H
#define GLOWPLUG_ABI3_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define PY_VERSION_HEX 0x030A0000

#ifndef GLOWPLUG_ABI3_CHECK /* abi3_check.c takes these types from <Python.h> and compares their layout */

typedef intptr_t Py_ssize_t;

typedef struct _object {
	Py_ssize_t ob_refcnt;
	struct _typeobject *ob_type;
} PyObject;

typedef PyObject *(*PyCFunction)(PyObject *, PyObject *);

typedef struct PyMethodDef {
	const char *ml_name;
	PyCFunction ml_meth;
	int ml_flags;
	const char *ml_doc;
} PyMethodDef;

typedef struct PyModuleDef_Base {
	PyObject ob_base;
	PyObject *(*m_init)(void);
	Py_ssize_t m_index;
	PyObject *m_copy;
} PyModuleDef_Base;

typedef struct PyModuleDef {
	PyModuleDef_Base m_base;
	const char *m_name;
	const char *m_doc;
	Py_ssize_t m_size;
	PyMethodDef *m_methods;
	struct PyModuleDef_Slot *m_slots;
	int (*m_traverse)(PyObject *, int (*visit)(PyObject *, void *), void *);
	int (*m_clear)(PyObject *);
	void (*m_free)(void *);
} PyModuleDef;

typedef struct _ts PyThreadState;

#define METH_VARARGS 0x0001
#define METH_KEYWORDS 0x0002

#define PyModuleDef_HEAD_INIT {{1, NULL}, NULL, 0, NULL}
#define PyModule_Create(def) PyModule_Create2(def, 3) /* 3 is PYTHON_ABI_VERSION: "built for the stable ABI" */

#define Py_XINCREF(o) Py_IncRef(o)
#define Py_XDECREF(o) Py_DecRef(o)

#endif

PyObject *PyModule_Create2(struct PyModuleDef *, int);
int PyArg_ParseTupleAndKeywords(PyObject *, PyObject *, const char *, char **, ...);
PyObject *Py_BuildValue(const char *, ...);
void Py_IncRef(PyObject *);
void Py_DecRef(PyObject *);
PyObject *PyErr_Occurred(void);
void PyErr_Print(void);
void PyErr_SetString(PyObject *, const char *);
extern PyObject *PyExc_RuntimeError;
PyThreadState *PyEval_SaveThread(void);
void PyEval_RestoreThread(PyThreadState *);

/* Named by the generators, never used by the functions that are kept. */
typedef void PyAsyncMethods;
#ifndef PyMethod_Check
#define PyMethod_Check(o) 0
#endif

#endif
