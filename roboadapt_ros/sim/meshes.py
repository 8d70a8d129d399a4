"""Visual meshes made light enough for software rendering.

The arm's published meshes have 130,000 triangles; drawing them costs a CPU tens of milliseconds.
Merging vertices on a grid keeps the silhouette at camera resolution and about 4 % of the
triangles.
"""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
FaceArray = npt.NDArray[np.int32]


def read_mesh(model: mujoco.MjModel, mesh_id: int) -> tuple[FloatArray, FaceArray]:
    """Return vertices (V, 3) [m], in the coordinates of the mesh file, and faces (F, 3)."""
    mesh = model.mesh(mesh_id)
    first, count = int(mesh.vertadr[0]), int(mesh.vertnum[0])
    vertices = model.mesh_vert[first : first + count].astype(np.float64)
    rotation = np.zeros(9)
    # The compiler recentres meshes; pos and quat undo that.
    mujoco.mju_quat2Mat(rotation, model.mesh_quat[mesh_id])
    vertices = vertices @ rotation.reshape(3, 3).T + model.mesh_pos[mesh_id]
    first, count = int(mesh.faceadr[0]), int(mesh.facenum[0])
    return vertices, model.mesh_face[first : first + count].copy()


def merge_vertices(
    vertices: FloatArray, faces: FaceArray, cell_m: float
) -> tuple[FloatArray, FaceArray]:
    """Merge the vertices of each grid cell into their mean and drop collapsed faces.

    Args:
        vertices: Vertices (V, 3) [m].
        faces: Vertex indices (F, 3).
        cell_m: Edge of a grid cell [m]; raising it removes more detail.

    Returns:
        Fewer vertices (v, 3) [m] and faces (f, 3).
    """
    cells = np.floor((vertices - vertices.min(axis=0)) / cell_m).astype(np.int64)
    _, owner, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    owner = owner.reshape(-1)
    merged = np.zeros((len(counts), 3))
    np.add.at(merged, owner, vertices)
    merged /= counts[:, None]
    kept = owner[faces]
    distinct = (kept[:, 0] != kept[:, 1]) & (kept[:, 1] != kept[:, 2]) & (kept[:, 2] != kept[:, 0])
    kept = kept[distinct]
    _, first = np.unique(np.sort(kept, axis=1), axis=0, return_index=True)
    return merged, kept[np.sort(first)].astype(np.int32)


def lighten_meshes(spec: mujoco.MjSpec, cell_m: float) -> None:
    """Replace every mesh of `spec` by one with its vertices merged on a grid of `cell_m`."""
    model = spec.copy().compile()  # compiling keeps normals that no longer fit
    for mesh in spec.meshes:
        vertices, faces = merge_vertices(*read_mesh(model, model.mesh(mesh.name).id), cell_m)
        mesh.file = ''
        mesh.uservert = vertices.reshape(-1)
        mesh.userface = faces.reshape(-1)
        # Merged meshes need not be watertight, which a volume inertia would require.
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
